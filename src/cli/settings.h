/* Where the API is and who we are: the environment first, then ~/.config/ward/config.toml. */
#pragma once
#include "base/err.h"
#include "base/util.h"

struct settings {
	char url[512];      /* "https://…" or "unix:///…" */
	char token[8192];   /* "" : none */
	char ca_file[512];  /* "" : the system's authorities */
	char ca_sha256[65]; /* "" : no pin; else of the CA certificate's DER form */
};

/* WARD_API_URL, FLY_FLAPS_BASE_URL; WARD_API_TOKEN, FLY_API_TOKEN; WARD_CA_FILE; then the file
 * (refused when others may read it); then unix:///run/ward/api.sock where that exists, else
 * https://api.ward.localhost. */
int settings_load(struct settings *s, struct err *e) must_check;
void settings_wipe(struct settings *s);
/* The pin: is the first certificate of this file the one? */
int settings_check_pin(const struct settings *s, struct err *e) must_check;
