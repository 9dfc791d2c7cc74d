"""Images and their classes: sources told apart by looking, decoded, checked, fed to a network."""
