"""The points together: enough of them, in all regions, one Offline, accuracy exactly where it is due, one system."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness.endpoints.check.files import Curve
from harness.endpoints.check.sources import RULES, SUBMISSION
from harness.endpoints.power import cooling_of
from harness.endpoints.regions import BANDS, Region, match_bands
from harness.endpoints.system_desc import PER_POINT
from harness.rounds import ENDPOINTS
from harness.submission.check.base import Checks, Problem

UTILIZATION_TOLERANCE = 0.1
SAME = ("seed_set", "target_cohort", "dataset", "model_name", "division", "max_supported_concurrency", "shared_src")

curve_rules: Checks[Curve] = Checks()


@curve_rules.rule("curve.points", source=f"{RULES}, 5.3")
def there_are_enough_points(curve: Curve) -> Iterator[Problem]:
    dedicated = any(config.dedicated for _, config in curve.configured)
    count, least = len(curve.points), ENDPOINTS.min_points["dedicated" if dedicated else "elected"]
    if not least <= count <= ENDPOINTS.max_points:
        yield curve.path, f"{count} points; a curve has {least} to {ENDPOINTS.max_points}"


@curve_rules.rule("curve.regions", source=f"{RULES}, 5.3 to 5.5")
def every_region_has_its_points(curve: Curve) -> Iterator[Problem]:
    bounds = curve.regions
    if bounds is None:
        yield curve.path, f"C_max {curve.c_max} and the lowest point make no regions (C_max above 33, C_min 1 to 32)"
        return
    found = [config.concurrency for _, config in curve.measured]
    for band in BANDS:
        if not any(band in bounds.bands(c) for c in found):
            yield curve.path, f"no point in {band} ({bounds})"
    if bounds.c_max not in found:
        yield curve.path, f"no point at C_max {bounds.c_max}: Offline is compared with it"
    for point, config in curve.measured:
        region = bounds.of(config.concurrency)
        if region is None:
            yield point.point_path, f"concurrency {config.concurrency} is above C_max's margin ({bounds.margin})"
        elif config.region in list(Region) and config.region not in (region, Region.CHOICE):
            yield point.point_path, f"region is {config.region}, concurrency {config.concurrency} lies in {region}"


@curve_rules.rule("curve.offline", source=f"{RULES}, 5.7")
def one_point_is_offline(curve: Curve) -> Iterator[Problem]:
    offline = [(point, config) for point, config in curve.configured if config.offline in ("dedicated", "elected")]
    if len(offline) != 1:
        yield curve.path, f"{len(offline)} points declare offline; exactly one must"
        return
    point, config = offline[0]
    if config.offline == "elected" and config.concurrency != curve.c_max:
        yield point.point_path, f"is elected as Offline, but lies at {config.concurrency}, not at C_max {curve.c_max}"
    top = next((p for p, c in curve.measured if c.concurrency == curve.c_max), None)
    rates = [(p.summary.figures() if p and p.summary else None) for p in (point, top)]
    if config.dedicated and rates[0] and rates[1]:
        least = ENDPOINTS.offline_share * rates[1].system_tps
        if rates[0].system_tps < least:
            yield (
                point.summary_path,
                f"Offline has {rates[0].system_tps:,.1f} tokens/s, less than {ENDPOINTS.offline_share:g} of the "
                f"{rates[1].system_tps:,.1f} at C_max",
            )


@curve_rules.rule("curve.accuracy-points", source=f"{RULES}, 4.3 and 5.3")
def accuracy_is_where_it_is_due(curve: Curve) -> Iterator[Problem]:
    """One result for each band and one for Offline; none at any other point."""
    bounds = curve.regions
    if bounds is None:
        return
    scored = [(point, config) for point, config in curve.configured if point.scored]
    elected = [c for p, c in scored if c.offline == "elected"]
    plain = [c for _, c in scored if not c.dedicated and c.offline != "elected"]
    owner = match_bands([(c.concurrency, bounds.bands(c.concurrency)) for c in plain + elected])
    if missing := [band for band in BANDS if band not in owner]:
        yield curve.path, f"no accuracy run in {', '.join(missing)}"
    offline = [(p, c) for p, c in curve.configured if c.offline in ("dedicated", "elected")]
    for point, _ in offline:
        if not point.scored:
            yield point.path, "is the Offline result and has no accuracy run"
    for config in plain:
        if config.concurrency not in owner.values():
            yield (
                curve.path / f"r{config.concurrency}",
                "has an accuracy run that is due nowhere: exactly one per region",
            )


@curve_rules.rule("curve.same", source=f"{RULES}, 6.5 and 8.2; {SUBMISSION}, 4.6")
def all_points_are_of_one_system(curve: Curve) -> Iterator[Problem]:
    for name in SAME:
        found = {getattr(config, name) for _, config in curve.configured}
        if len(found) > 1:
            yield curve.path, f"the points differ in {name}: {', '.join(sorted(map(str, found)))}"
    described = [(p, d) for p in curve.points if (d := p.description)]
    plain = [{k: v for k, v in msgspec.to_builtins(d).items() if k not in PER_POINT} for _, d in described]
    for (point, _), fields in zip(described[1:], plain[1:], strict=True):
        if names := sorted(k for k in {*fields, *plain[0]} if fields.get(k) != plain[0].get(k)):
            yield point.description_path, f"differs from {described[0][0].path.name} in {', '.join(names)}"
    if described and {c.max_supported_concurrency for _, c in curve.configured} - {curve.c_max, None}:
        yield (
            curve.path,
            f"point.yaml and system_desc.json (C_max {curve.c_max}) disagree about max_supported_concurrency",
        )


@curve_rules.rule("curve.utilization", source=f"{RULES}, 8.2")
def utilization_is_computed(curve: Curve) -> Iterator[Problem]:
    rates = {point: f.system_tps for point in curve.points if point.summary and (f := point.summary.figures())}
    most = max(rates.values(), default=0.0)
    for point, rate in rates.items():
        said = point.description.tps_utilization if point.description else None
        if said is not None and abs(said - rate / most) > UTILIZATION_TOLERANCE:
            yield point.description_path, f"tps_utilization is {said}, the figures make it {rate / most:.4f}"


@curve_rules.rule("curve.power", source=f"{RULES}, 4.5 and appendix E")
def power_is_sourced(curve: Curve) -> Iterator[Problem]:
    """No default of MLCommons' is taken: it tags the result as estimated."""
    divisions = {config.division for _, config in curve.configured}
    if not curve.power_path.is_file():
        if "Standardized" in divisions:
            yield curve.power_path, "is missing: a Standardized system states its provisioned power"
        return
    if curve.power is None:
        yield curve.power_path, "cannot be read, or has a figure without a public source"
        return
    yield from ((curve.power_path, text) for text in curve.power.faults())
    for node in next((p.description.node_types for p in curve.points if p.description), []):
        if node.cooling and (kind := cooling_of(node.cooling)) != curve.power.cooling:
            yield curve.power_path, f"cooling is {curve.power.cooling}, system_desc.json has {kind} ({node.cooling})"
