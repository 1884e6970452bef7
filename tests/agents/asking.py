"""What the tests of the openai adapter ask, of whom, and how they collect the answer."""

from core.agents.openai_sdk import OpenAIAgent
from core.agents.port import AgentFault, Delta, Message, Model, Usage
from core.values.pricing import Prices
from tests.simulator.model import SimulatedModel

MODEL = Model(
    id="sold-as",
    upstream_id="simulated-model",
    prices=Prices(input_msat_per_1k=1_000, output_msat_per_1k=4_000),
    max_output_tokens=4_096,
    context_tokens=32_768,
)
ASK = [Message("system", "Be brief."), Message("user", "Sort: b, a"), Message("assistant", "?")]
KEY = "sk-secret-0123456789"
BOUNDARY = "=== 5f0c ==="


def agent_for(upstream: SimulatedModel, *, timeout_s: float) -> OpenAIAgent:
    return OpenAIAgent(
        base_url=upstream.url, api_key=KEY, timeout_s=timeout_s, boundary=lambda: BOUNDARY
    )


async def worked(
    agent: OpenAIAgent, *, max_output_tokens: int = 1_024
) -> tuple[str, list[Usage], AgentFault | None]:
    """The text that came, the usages that came, and the fault that ended it."""
    text, usages = "", []
    try:
        async for piece in agent.stream(MODEL, ASK, max_output_tokens=max_output_tokens):
            match piece:
                case Delta():
                    text += piece.text
                case Usage():
                    usages.append(piece)
    except AgentFault as fault:
        return text, usages, fault
    return text, usages, None
