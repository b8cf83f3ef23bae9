#define _GNU_SOURCE
#include "CAllocationCounter.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_int counting;
static atomic_long allocations;
static _Thread_local int inside;
enum { SHOWN = 3, DEPTH = 24, EXEMPT = 8 };

static struct { uintptr_t start, end; } exempt[EXEMPT];
static int exempt_count;

// A callers' list is written by functions that may allocate themselves.
static void count(void *caller) {
  if (!atomic_load_explicit(&counting, memory_order_relaxed) || inside) return;
  for (int i = 0; i < exempt_count; i++)
    if ((uintptr_t)caller >= exempt[i].start && (uintptr_t)caller < exempt[i].end) return;
  inside = 1;
  if (atomic_fetch_add(&allocations, 1) < SHOWN) {
    void *frames[DEPTH];
    int depth = backtrace(frames, DEPTH);
    static const char title[] = "allocation:\n";
    if (write(STDERR_FILENO, title, sizeof title - 1) > 0)
      backtrace_symbols_fd(frames, depth, STDERR_FILENO);
  }
  inside = 0;
}

// Sanitizers have their own.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

void *malloc(size_t size) {
  count(__builtin_return_address(0));
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  count(__builtin_return_address(0));
  return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
  count(__builtin_return_address(0));
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  count(__builtin_return_address(0));
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  count(__builtin_return_address(0));
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  count(__builtin_return_address(0));
  void *memory = __libc_memalign(alignment, size);
  if (memory == NULL) return ENOMEM;
  *result = memory;
  return 0;
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
  count(__builtin_return_address(0));
  return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

#endif

// Whether one of the names, separated by spaces, is part of the path.
static int is_named(const char *path, const char *names) {
  while (*names != '\0') {
    size_t length = strcspn(names, " ");
    if (length > 0 && memmem(path, strlen(path), names, length) != NULL) return 1;
    names += length + strspn(names + length, " ");
  }
  return 0;
}

static int find_exempt(struct dl_phdr_info *library, size_t size, void *names) {
  (void)size;
  if (!is_named(library->dlpi_name, names)) return 0;
  for (int i = 0; i < library->dlpi_phnum && exempt_count < EXEMPT; i++) {
    const ElfW(Phdr) *segment = &library->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) continue;
    exempt[exempt_count].start = library->dlpi_addr + segment->p_vaddr;
    exempt[exempt_count].end = exempt[exempt_count].start + segment->p_memsz;
    exempt_count++;
  }
  return 0;
}

void statex_start_counting_allocations(const char *exempt_libraries) {
  exempt_count = 0;
  dl_iterate_phdr(find_exempt, (void *)exempt_libraries);
  void *frames[DEPTH];
  backtrace(frames, DEPTH);  // Its first call loads a library.
  atomic_store(&allocations, 0);
  atomic_store(&counting, 1);
}

long statex_stop_counting_allocations(void) {
  atomic_store(&counting, 0);
  return atomic_load(&allocations);
}

void statex_allocate_once(void) {
  void *volatile memory = malloc(100);
  free(memory);
}
