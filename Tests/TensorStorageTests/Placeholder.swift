// Tests of the room TensorStorage.
