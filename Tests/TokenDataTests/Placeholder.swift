// Tests of the room TokenData.
