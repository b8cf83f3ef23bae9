#ifndef STATEX_CXXHASH_SHIM_H
#define STATEX_CXXHASH_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

// Under another name: Swift's type has that of the function.
static inline uint64_t statex_xxh64(const void *bytes, size_t count, uint64_t seed) {
  return XXH64(bytes, count, seed);
}

#endif
