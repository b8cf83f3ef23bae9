// The Optimizers room.
