/* What api.c, api_stream.c and api_upgrade.c share. */
#pragma once
#include "base/str.h"
#include "cli/api.h"
#include "cli/settings.h"
#include <curl/curl.h>

struct api {
	CURL *curl;
	struct settings settings;
	char base[512];   /* what a path is appended to */
	char socket[256]; /* "" : network */
	struct curl_slist *connect_to;
};

/* Resets the handle for a request; *ret_headers is to be freed after it. header may be NULL. */
int api_prepare(struct api *a, const char *method, const char *path, const char *header,
    bool json_body, struct curl_slist **ret_headers, struct err *e) must_check;
/* The error of a failed transfer. */
int api_failed(struct api *a, CURLcode rc, struct err *e) must_check;
/* The error of an answer of 400 or more. */
int api_refused(int status, const char *method, const char *path, const void *body, size_t len,
    struct err *e) must_check;
