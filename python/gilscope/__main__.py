import sys

from gilscope.cli import main

sys.exit(main())
