// Tests of the room Checkpointing.
