"""Shape and type checks are on while the tests run; random two-layer models and a tokenizer, made here."""

from collections.abc import Iterator

import beartype
import jaxtyping

typechecker = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
"""An int passes for a float, as it does for the type checkers people run."""
jaxtyping.install_import_hook("agent", "conftest.typechecker")

import pytest  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from planted_log import listening  # noqa: E402

torch.set_num_threads(1)

WORDS = [f"w{index}" for index in range(90)]
VOCABULARY = 96
"""Two rows more than the tokenizer has tokens, as in published models."""

COMMON = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
PLAIN = COMMON | {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
PLAIN |= {"max_position_embeddings": 64}
LLAMA_LIKE = PLAIN | {"intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 8}
WINDOW = {"sliding_window": 8, "query_pre_attn_scalar": 8}
ARCHITECTURES = {
    "llama": lambda: transformers.LlamaConfig(**LLAMA_LIKE),
    "mistral": lambda: transformers.MistralConfig(**LLAMA_LIKE, sliding_window=8),
    "qwen2": lambda: transformers.Qwen2Config(**LLAMA_LIKE),
    "qwen3": lambda: transformers.Qwen3Config(**LLAMA_LIKE),
    "gemma2": lambda: transformers.Gemma2Config(**LLAMA_LIKE, **WINDOW, final_logit_softcapping=2.0),
    "gemma3": lambda: transformers.Gemma3TextConfig(**LLAMA_LIKE, **WINDOW),
    "gpt2": lambda: transformers.GPT2Config(**COMMON, n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**PLAIN, intermediate_size=24),
    "opt": lambda: transformers.OPTConfig(**PLAIN, ffn_dim=24, word_embed_proj_dim=16),
}


def save_tiny_model(folder, depth: int, **sizes: int):
    """A random Llama and its tokenizer in a folder, as users have models."""
    make_causal_lm("llama", depth, **sizes).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def make_tokenizer(begins_with_bos: bool = True):
    """Whole words `w0` to `w89`, each with the space before it, and four special tokens."""
    from loops.diagnostics.tiny_twin import word_tokenizer

    return word_tokenizer(WORDS, r"w\d+", begins_with_bos)


def make_causal_lm(architecture: str, depth: int = 2, seed: int = 0, **sizes: int):
    """A random model in float32, its weights large enough that its predictions depend on the text."""
    config = ARCHITECTURES[architecture]()
    sizes = {"num_hidden_layers": depth, "layer_types": None, **sizes}
    config = type(config)(**config.to_dict() | sizes)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "position" not in name and "wpe" not in name:
                weight.normal_(0, 0.35)
    return model.eval()


def make_language_model(
    architecture: str = "llama", depth: int = 2, seed: int = 0, bos: bool = True, **options
):
    from agent.language_model.load import LanguageModelConfig
    from agent.language_model.model import LanguageModel

    config = LanguageModelConfig(name=f"random {architecture}", **options)
    return LanguageModel(make_causal_lm(architecture, depth, seed), make_tokenizer(bos), config)


def make_mamba():
    """A random model whose memory is not keys and values."""
    from agent.language_model.load import LanguageModelConfig
    from agent.language_model.model import LanguageModel

    sizes = {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 4, "intermediate_size": 32}
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.MambaConfig(**COMMON, **sizes)).eval()
    return LanguageModel(model, make_tokenizer(), LanguageModelConfig(name="random mamba"))


def sentence(*numbers: int) -> str:
    return "".join(f" w{number}" for number in numbers)


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request) -> str:
    return request.param


@pytest.fixture
def texts() -> list[str]:
    """Seven texts of 3 to 21 words, not in order of length."""
    generator = torch.Generator().manual_seed(1)
    lengths = (12, 3, 21, 7, 12, 5, 16)
    return [sentence(*torch.randint(0, 90, (length,), generator=generator).tolist()) for length in lengths]


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What the project logs during the test, without counts and stages."""
    with listening() as heard:
        yield heard.messages
