#ifndef STATEX_CONEDNN_SHIM_H
#define STATEX_CONEDNN_SHIM_H

#include <oneapi/dnnl/dnnl.h>

// Debian builds oneDNN with GNU's OpenMP, whose own header only gcc finds.
extern void omp_set_num_threads(int threads);

/// Keeps OpenMP from starting threads for the calling thread.
static inline void statex_dnnl_stay_on_this_thread(void) { omp_set_num_threads(1); }

/// A product `c = a b` or `c += a b`: c is row-major, a and b row-major or transposed.
typedef struct {
  dnnl_dim_t m, k, n;
  dnnl_dim_t a_stride, b_stride, c_stride;
  int a_transposed, b_transposed, accumulate;
  /// Of a and b; c is fp32.
  dnnl_data_type_t operands;
} statex_dnnl_shape;

static inline dnnl_status_t statex_dnnl_matrix(
    dnnl_memory_desc_t *matrix, dnnl_dim_t rows, dnnl_dim_t columns, dnnl_dim_t stride,
    int transposed, dnnl_data_type_t type) {
  dnnl_dims_t dims = {rows, columns};
  dnnl_dims_t strides = {transposed ? 1 : stride, transposed ? stride : 1};
  return dnnl_memory_desc_init_by_strides(matrix, 2, dims, type, strides);
}

/// The primitive of a product that takes its scratch memory from the caller.
///
/// The four descriptors (a, b, c, scratch) are what its memory objects are made with.
static inline dnnl_status_t statex_dnnl_product(
    dnnl_primitive_t *primitive, dnnl_memory_desc_t descriptors[4], const statex_dnnl_shape *shape,
    dnnl_engine_t engine) {
  dnnl_memory_desc_t *d = descriptors;
  dnnl_status_t status =
      statex_dnnl_matrix(&d[0], shape->m, shape->k, shape->a_stride, shape->a_transposed,
                         shape->operands);
  if (!status)
    status = statex_dnnl_matrix(&d[1], shape->k, shape->n, shape->b_stride, shape->b_transposed,
                                shape->operands);
  if (!status)
    status = statex_dnnl_matrix(&d[2], shape->m, shape->n, shape->c_stride, 0, dnnl_f32);
  dnnl_matmul_desc_t product;
  if (!status) status = dnnl_matmul_desc_init(&product, &d[0], &d[1], NULL, &d[2]);
  if (status) return status;

  dnnl_post_ops_t after = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t description = NULL;
  status = dnnl_primitive_attr_create(&attributes);
  if (!status)
    status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (!status) status = dnnl_post_ops_create(&after);
  if (!status && shape->accumulate) status = dnnl_post_ops_append_sum(after, 1);
  if (!status) status = dnnl_primitive_attr_set_post_ops(attributes, after);
  if (!status)
    status = dnnl_primitive_desc_create(&description, &product, attributes, engine, NULL);
  if (!status) {
    d[3] = *dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    status = dnnl_primitive_create(primitive, description);
  }
  if (description) dnnl_primitive_desc_destroy(description);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  if (after) dnnl_post_ops_destroy(after);
  return status;
}

/// Runs a product on the calling thread alone, with memory objects (a, b, c, scratch) of its
/// descriptors.
static inline dnnl_status_t statex_dnnl_run(
    dnnl_primitive_t primitive, dnnl_stream_t stream, dnnl_memory_t memories[4], void *a, void *b,
    void *c, void *scratch) {
  void *handles[4] = {a, b, c, scratch};
  for (int i = 0; i < 4; i++) {
    dnnl_status_t status = dnnl_memory_set_data_handle(memories[i], handles[i]);
    if (status) return status;
  }
  dnnl_exec_arg_t arguments[4] = {
      {DNNL_ARG_SRC, memories[0]},
      {DNNL_ARG_WEIGHTS, memories[1]},
      {DNNL_ARG_DST, memories[2]},
      {DNNL_ARG_SCRATCHPAD, memories[3]},
  };
  statex_dnnl_stay_on_this_thread();
  return dnnl_primitive_execute(primitive, stream, 4, arguments);
}

/// A memory object without memory, which `statex_dnnl_run` gives it.
static inline dnnl_status_t statex_dnnl_memory(
    dnnl_memory_t *memory, const dnnl_memory_desc_t *descriptor, dnnl_engine_t engine) {
  return dnnl_memory_create(memory, descriptor, engine, DNNL_MEMORY_NONE);
}

#endif
