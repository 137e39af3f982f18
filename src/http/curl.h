/* What both of the client's halves need of libcurl: one handle set up from one description. */
#pragma once
#include "http/client.h"
#include <curl/curl.h>

struct curl_peer {
	const char *path;
	int fd; /* of the connection made; -1: none */
};

struct curl_ask {
	struct curl_peer *peer; /* with socket_path in it; outlives the handle */
	const char *socket_path, *method, *path_or_url;
	const char *const *headers;
	struct bytes body;
	const char *ca_file;
	int timeout_ms;
};

/* *ret_headers belongs to the handle's user and is freed after the handle. */
int curl_prepare(const struct curl_ask *a, CURL **ret, struct curl_slist **ret_headers,
    struct err *e) must_check;

/* The error for a failed transfer: who could not be reached, and why. */
int curl_failed(CURL *h, CURLcode rc, const struct curl_ask *a, struct err *e);
