// Counts the memory that a program asks for while counting is on.
//
// A program linked with this has its own malloc, calloc, realloc, posix_memalign, aligned_alloc,
// memalign and mmap, which count and pass on to the C library's; shared libraries use them too.
// Built with a sanitizer, which brings its own, nothing is counted.

#ifndef STATEX_ALLOCATION_COUNTER_H
#define STATEX_ALLOCATION_COUNTER_H

// Starts counting from zero. The first few callers are shown on standard error. What libraries whose
// name contains one of the words of `exempt_libraries` ask for themselves is not counted.
void statex_start_counting_allocations(const char *exempt_libraries);

// Stops counting and returns how many allocations any thread made.
long statex_stop_counting_allocations(void);

// One allocation that the compiler cannot remove, given back at once.
void statex_allocate_once(void);

#endif
