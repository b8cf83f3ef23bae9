// The Checkpointing room.
