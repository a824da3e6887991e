"""Research tables: computed with other people's libraries, read by people, never by a model."""
