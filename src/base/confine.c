#include "base/confine.h"
