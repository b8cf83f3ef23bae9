// Tests of the room StateExpansion.
