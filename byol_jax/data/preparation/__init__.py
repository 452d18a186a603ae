"""The command `prepare`: conversion of image files to data sets. Training does not import it."""
