#ifndef STATEX_COPENBLAS_SHIM_H
#define STATEX_COPENBLAS_SHIM_H

#include <cblas.h>

#endif
