"""`python -m bench.peers`: a load process, as bench/load.py is, for what others have made."""

from __future__ import annotations

import os

# Else LiteLLM asks the internet for its prices before it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import uvloop

from bench.peers.escrowmint_peer import escrowmint_cycles
from bench.peers.hardcap_peer import hardcap_cycles
from bench.peers.litellm_peer import litellm_cycles
from bench.runner import Kinds, serve

KINDS: Kinds = {
    "hardcap": hardcap_cycles,
    "escrowmint": escrowmint_cycles,
    "litellm": litellm_cycles,
}

if __name__ == "__main__":
    uvloop.run(serve(KINDS))
