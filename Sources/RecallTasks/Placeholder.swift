// The RecallTasks room.
