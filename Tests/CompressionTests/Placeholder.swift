// Tests of the room Compression.
