// Tests of the room LanguageModels.
