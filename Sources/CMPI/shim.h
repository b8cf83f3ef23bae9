// Open MPI spells its handles as macros that Swift cannot import; these functions return them.
#ifndef STATEX_CMPI_SHIM_H
#define STATEX_CMPI_SHIM_H

#include <mpi.h>

static inline MPI_Comm statex_mpi_comm_world(void) { return MPI_COMM_WORLD; }
static inline MPI_Datatype statex_mpi_byte(void) { return MPI_BYTE; }
static inline MPI_Datatype statex_mpi_float(void) { return MPI_FLOAT; }
static inline MPI_Datatype statex_mpi_double(void) { return MPI_DOUBLE; }
static inline MPI_Datatype statex_mpi_int64(void) { return MPI_INT64_T; }
static inline MPI_Op statex_mpi_sum(void) { return MPI_SUM; }
static inline MPI_Op statex_mpi_max(void) { return MPI_MAX; }
static inline MPI_Errhandler statex_mpi_errors_return(void) { return MPI_ERRORS_RETURN; }
static inline void *statex_mpi_in_place(void) { return MPI_IN_PLACE; }
static inline int statex_mpi_any_source(void) { return MPI_ANY_SOURCE; }
static inline MPI_Status *statex_mpi_status_ignore(void) { return MPI_STATUS_IGNORE; }

#endif
