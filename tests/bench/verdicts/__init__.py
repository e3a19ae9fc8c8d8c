"""How often blameless candidates are rolled back, and how soon bad ones: whole roll-outs through `decide`."""
