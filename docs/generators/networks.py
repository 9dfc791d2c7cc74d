"""A page for every network: drawing, numbers, row, deviations, sums by hand, weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import backbones
from backbones import catalog
from backbones.protocols.table import PROTOCOLS
from backbones.report.network_card import NetworkCard
from backbones.report.rows import row_lines
from backbones.spec import Citation
from backbones.units import human_bytes, human_count
from backbones.weights.table import best_result
from generators.language import LANGS, Lang, Words
from generators.markdown import cell, code, folded, literal, page, table

_NETWORKS_INTRO = (
    "Every network that can be made by name, with its drawing, its counts, where it differs "
    "from its paper, and what was published."
)

_BY_HAND_INTRO = (
    "The sums behind the numbers above, as `backbones inspect --explain` and "
    "`--explain-field` print them."
)


def names() -> list[str]:
    """All variants."""
    return list(catalog.names())


def write_page(docs: Path, name: str) -> None:
    """The page of one variant in both languages, and its drawing."""
    figure = docs / "_build" / "figures" / "networks" / f"{name}.svg"
    figure.parent.mkdir(parents=True, exist_ok=True)
    backbones.draw(name).save(figure)
    card = backbones.show(name)
    assert isinstance(card, NetworkCard)
    for lang in LANGS:
        target = docs / lang / "know" / "networks" / f"{name}.md"
        target.write_text(_page(card, Words(lang)), encoding="utf-8")


def write_index(docs: Path, lang: Lang, chosen: Sequence[str]) -> None:
    """All networks, a table a family."""
    say, parts = Words(lang), []
    for family in catalog.families():
        rows = [catalog.facts(name) for name in chosen if catalog.resolve(name)[0] == family]
        if not rows:
            continue
        cells = [
            (
                f"[{facts.name}]({facts.name}.md)",
                literal(say.of_package(facts.summary)),
                f"{facts.params:,}",
                human_count(facts.macs),
                facts.input_px,
            )
            for facts in rows
        ]
        headings = ("network", "what it is", "parameters", "MACs", "input (px)")
        parts += [f"## {family.title}", "", literal(say.of_package(family.summary)), ""]
        parts += table([say(heading) for heading in headings], cells, "llrrr")
    text = page(say("Networks"), [say(_NETWORKS_INTRO), ""], parts)
    (docs / lang / "know" / "networks" / "index.md").write_text(text, encoding="utf-8")


def _page(card: NetworkCard, say: Words) -> str:
    facts, found = card.facts, card.inspection
    return page(
        facts.name,
        [literal(say.sentence(facts.summary)), ""],
        [literal(say.of_package(card.contribution)), "", literal(str(card.row.citation)), ""],
        ["```{image} ../../../_build/figures/networks/" + f"{facts.name}.svg"],
        [":class: drawing", f":alt: {say('drawing of {name}', name=facts.name)}", "```", ""],
        [f"## {say('Numbers')}", *_numbers(card, say)],
        [f"## {say('The row of the table')}", *code("\n".join(row_lines(card.row)))],
        [f"## {say('Deviations from the paper')}", *_deviations(card, say)],
        [f"## {say('Stages')}", *_stages(card, say)],
        [f"## {say('By hand')}", "", say(_BY_HAND_INTRO), ""],
        folded(say("parameters and MACs, layer by layer"), code(found.explain())),
        folded(say("receptive field, line by line"), code(found.explain_field())),
        [f"## {say('Published weights')}", *_weights(card, say)],
        [f"## {say('Results that papers printed')}", *_results(card, say)],
        [f"## {say('Commands')}", *code("\n".join(_commands(card)), "sh")],
        [f"## {say('Citation')}", *code(bibtex(card.row.citation), "bibtex")],
        above=say("Networks"),
    )


def _numbers(card: NetworkCard, say: Words) -> list[str]:
    facts, found, field = card.facts, card.inspection, card.receptive_field
    side = facts.input_px
    rows: list[tuple[str, str]] = [
        (say("input"), f"{facts.in_channels} x {side} x {side}"),
        (say("classes"), str(facts.num_classes)),
        (say("parameters"), f"{facts.params:,} ({human_bytes(4 * facts.params)}, fp32)"),
        (say("multiply-accumulates (MACs)"), f"{facts.macs:,} ({human_count(facts.macs)})"),
        (say("layers with weights, on the longest way"), str(found.depth)),
    ]
    if field is not None:
        height, width = field[0]
        rows.append((say("receptive field of the last maps"), f"{height} x {width} px"))
    rows += [
        (say("claim: {name}", name=claim.name), f"{claim.value:,} ({literal(claim.source)})")
        for claim in card.row.claims
    ]
    notes = [literal(note.removeprefix("printed: ")) for note in found.notes]
    told = ["", *(f"* {note}" for note in notes), ""] if notes else []
    return table([say("figure"), say("value")], [(cell(a), b) for a, b in rows]) + told


def _deviations(card: NetworkCard, say: Words) -> list[str]:
    if not card.facts.deviations:
        return ["", say("None."), ""]
    headings = [say("field"), say("what is built, and what the paper has"), say("source")]
    rows = [
        (f"`{each.field}`", cell(say.of_package(each.what)), cell(each.source))
        for each in card.facts.deviations
    ]
    return table(headings, rows)


def _stages(card: NetworkCard, say: Words) -> list[str]:
    found = card.inspection
    rows = [
        (
            cell(stage.name),
            len(stage.layers),
            " x ".join(map(str, stage.output)),
            f"{stage.params:,}",
            f"{stage.macs:,}",
        )
        for stage in found.stages
    ]
    if found.training_only_params:
        unused = f"{found.training_only_params:,}"
        rows.append((say("only in training"), "", "", unused, ""))
    rows.append((say("sum"), len(found.layers), "", f"{found.params:,}", f"{found.macs:,}"))
    headings = ("stage", "layers", "output", "parameters", "MACs")
    return table([say(heading) for heading in headings], rows, "lrlrr")


def _weights(card: NetworkCard, say: Words) -> list[str]:
    lines = ["", *(f"* `{name}`: {say('comes with the package')}" for name in card.shipped), ""]
    if not card.weights:
        return lines if card.shipped else ["", say("None are known here."), ""]
    rows = []
    for each in card.weights:
        best = best_result((each,), card.facts.input_px)
        top1, top5, size = "", "", ""
        if best is not None:
            result = best[1]
            top1, size = f"{result.top1_accuracy:.4f}", str(result.size_px)
            top5 = "" if result.top5_accuracy is None else f"{result.top5_accuracy:.4f}"
        rows.append((f"`{each.id}`", top1, top5, size, cell(each.licence)))
    headings = ("weights", "top-1 accuracy", "top-5 accuracy", "input (px)", "licence")
    return lines + table([say(heading) for heading in headings], rows, "lrrrl")


def _results(card: NetworkCard, say: Words) -> list[str]:
    """The protocols of the network's paper."""
    title = card.row.citation.title
    own = [each.name for each in PROTOCOLS if each.citation.title == title]
    if not own:
        return ["", say("No protocol of this paper is here."), ""]
    links = [f"* [{name}](../protocols/{page_name(name)}.md)" for name in own]
    return ["", say("The paper's protocols, with every result that it prints:"), "", *links, ""]


def _commands(card: NetworkCard) -> list[str]:
    name = card.facts.name
    return [
        f"backbones inspect {name}",
        f"backbones inspect {name} --explain",
        f"backbones inspect {name} --explain-field",
        f"backbones memory {name} --explain",
        f"backbones draw {name} -o {name}.svg",
    ]


def page_name(identifier: str) -> str:
    """The file's name for a name with a slash."""
    return identifier.replace("/", "-")


def bibtex(citation: Citation) -> str:
    """The paper as an entry for BibTeX."""
    first = re.split(r"[ ,&]", citation.authors)[0].lower()
    word = re.split(r"\W+", citation.title)[0].lower()
    arxiv = re.search(r"arXiv:([\d.]+)", citation.where)
    where = (
        [f"  eprint = {{{arxiv[1].rstrip('.')}}},", "  archivePrefix = {arXiv},"]
        if arxiv
        else [f"  howpublished = {{{citation.where}}},"]
    )
    authors = citation.authors.replace(" et al.", " and others").replace(" & ", " and ")
    return "\n".join(
        [
            f"@misc{{{first}{citation.year}{word},",
            f"  author = {{{authors.replace(', ', ' and ')}}},",
            f"  title = {{{{{citation.title}}}}},",
            f"  year = {{{citation.year}}},",
            *where,
            "}",
        ]
    )
