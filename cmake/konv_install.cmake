# Install rules: filled in together with the public library.
