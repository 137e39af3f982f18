/* The part of the bodies that machines and deploys share. */
#pragma once
#include "api/schema.h"

extern const struct schema schema_machine_config;
extern const struct schema schema_metadata_map;
