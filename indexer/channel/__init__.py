"""What registry content means to conda. Pure: no file, socket, environment or clock."""
