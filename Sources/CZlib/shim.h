#ifndef STATEX_CZLIB_SHIM_H
#define STATEX_CZLIB_SHIM_H

#include <zlib.h>

#endif
