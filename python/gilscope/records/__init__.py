"""What is measured, as frozen records, and their JSON. Imports no other package of gilscope."""
