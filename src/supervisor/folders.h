/* The folders of an instance, with their owners. Repeatable. */
#pragma once
#include "supervisor/settings.h"

int folders_make(const struct settings *s, struct err *e) must_check;
