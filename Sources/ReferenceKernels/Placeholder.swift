// The ReferenceKernels room.
