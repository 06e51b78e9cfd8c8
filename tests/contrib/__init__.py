"""What is handed out to run the gateway with: checked by the programs that read it."""
