// Tests of the room RecallTasks.
