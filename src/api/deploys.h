/* What the operations on deploys, releases and scale share. */
#pragma once
#include "api/api.h"

/* Asks for something that runs as a deploy; 202 {"id","release","status"}. body is taken. */
void deploy_request(struct call *c, const char *kind, const json_t *app, json_t *body);
/* The deploy that param 1 names; NULL: answered with 404. */
json_t *deploy_find(struct call *c, const json_t *app);
json_t *deploy_event_show(const json_t *event);
