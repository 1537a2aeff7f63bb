"""An export on the Hugging Face hub. Nothing is sent unless it is asked for; the token is the hub's own client's affair."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from agent.errors import BasinError, first_sentence
from agent.hub.models import quiet_transformers

REPO = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


def push(
    path: Path,
    repo: str,
    card: str | None,
    *,
    private: bool = True,
    dataset: bool = False,
    endpoint: str | None = None,
) -> str:
    """Upload a file or a folder, as one commit; gives the address.

    Args:
        repo: `owner/name`; made where it is not there.
        card: README.md for an export that has none of its own.
        endpoint: of another hub; by default the client's (`HF_ENDPOINT`).

    Raises:
        BasinError: no such name, no token, no hub, or it refused.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    refuse_name(repo)
    hub, kind = HfApi(endpoint=endpoint), "dataset" if dataset else "model"
    try:
        with quiet_transformers(), tempfile.TemporaryDirectory() as scratch:
            made = hub.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
            # Asked for privately, and there already for everybody to see: the hub would not say so.
            if private and not hub.repo_info(made.repo_id, repo_type=kind).private:
                raise BasinError(f"{repo} is there already and public: name another, or push with --public.")
            folder = path
            if path.is_file():
                folder = Path(scratch)
                (folder / path.name).symlink_to(path.resolve())
                (folder / "README.md").write_text(card or "", encoding="utf-8")
            hub.upload_folder(
                repo_id=made.repo_id, repo_type=kind, folder_path=folder, commit_message="Exported from Basin"
            )
            return str(made)
    except BasinError:
        raise
    except LocalTokenNotFoundError:
        raise BasinError(
            f"{repo} cannot be written without a token: run `hf auth login`, or set HF_TOKEN."
        ) from None
    except OfflineModeIsEnabled:
        raise BasinError(f"{repo} cannot be written while HF_HUB_OFFLINE is set: unset it.") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        hint = (
            "log in with `hf auth login`, with a token that may write there"
            if status in (401, 403)
            else "try again later"
        )
        raise BasinError(
            f"The hub refused {repo} ({first_sentence(error)}): {hint}; {path} is kept."
        ) from None
    except Exception as error:  # of whichever HTTP client this version of the hub's library uses
        raise BasinError(
            f"The hub cannot be reached for {repo} ({first_sentence(error)}); {path} is kept."
        ) from None


def refuse_name(repo: str) -> None:
    """Raise `BasinError` where it is no name that a repository could have: before anything is made."""
    if not REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise BasinError(
            f"{repo!r} is no name of a repository: give owner/name, in letters, digits, '-', '_' and '.'."
        )
