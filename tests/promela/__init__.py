"""The garbage collection protocol as a model, checked by spin."""
