#ifndef STATEX_CZSTD_SHIM_H
#define STATEX_CZSTD_SHIM_H

#include <zstd.h>
#include <zstd_errors.h>

#endif
