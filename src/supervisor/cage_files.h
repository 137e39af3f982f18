/* A machine's files as they change hands: the agent makes and removes them, the machine's uid uses
 * them while it runs. Folders of others are entered without following links. */
#pragma once
#include "supervisor/settings.h"

/* <run>/machines/<id>; for a link also <lib>/machines/<id>/link, for a monitor scratch.img: the
 * uid's. */
int cage_files_give(const struct settings *s, const char *machine, uint32_t role, uid_t uid,
    struct err *e) must_check;
int cage_files_take_back(const struct settings *s, const char *machine, struct err *e) must_check;
void cage_files_tidy(
    const struct settings *s, bool (*in_use)(void *arg, const char *machine), void *arg);
