# ruff: noqa: E501 (one row, one line: a table is read by its columns)
"""Each law of meaning, broken once in a policy that is right otherwise: which finding, on which line.

A row changes the small policy (or the venue) by replacing one text, and names the finding, a text on the line
it must point at, and words that it must say.
"""

import re

import pytest

from ringfence.adapters.policy_files import include_beside
from ringfence.policy.findings import LAWS
from ringfence.policy.parse import parse
from ringfence.wiring_files import shipped_policy

SMALL = shipped_policy("two-buckets").read_text()
VENUE = shipped_policy("venue").read_text()
DESK = shipped_policy("trading-desk").read_text()
CUSTODIAN = shipped_policy("custodian").read_text()
FOLDER = shipped_policy("venue").parent


def findings_of(text):
    return parse(text, "p.yaml", include_beside(FOLDER / "p.yaml")).findings


def line_of(text, piece):
    assert text.count(piece) >= 1, piece
    return text[: text.index(piece)].count("\n") + 1


SMALL_ROWS = [
    # the text itself
    ("anchor", "client: {kind: client, family: true}", "client: &a {kind: client, family: true}", "client: &a", ""),
    ("tag", "kind: house}", "kind: !!str house}", "!!str", "leave the tag out"),
    ("tab", "  house: {kind: house}", "  house:\t{kind: house}", "house:\t", "spaces"),
    ("duplicate-word", "  fee:\n", "  settle:\n", "  settle:\n    from", "first in line"),
    ("duplicate-word", "    assets: USDC\n    needs: client_key", "    assets: USDC\n    assets: USDC\n    needs: client_key", None, "`assets`"),
    ("empty-value", "needs: client_key\n    on: ledger\n    limit", "needs:\n    on: ledger\n    limit", "needs:\n", "no value"),
    ("empty-value", "{each: {USDC: \"100000 per 1 d\"}", "{each: {USDC: 100,000 per 1 d}", "100,000", "quote the value"),
    ("implicit-boolean", "client: {kind: client, family: true}", "client: {kind: client, family: yes}", "family: yes", "true or false"),
    ("implicit-boolean", "officer_a: {person: alice", "officer_a: {person: no", "person: no", '"no" in quotes'),
    ("float", 'tick: "0.1"', "tick: 0.1", "tick: 0.1", "quotes"),
    ("float", "decimals: 6, haircut", "decimals: 6.0, haircut", "decimals: 6.0", "whole number"),
    ("several-documents", "\nparties:", "\n---\nparties:", "---", "one document"),
    ("yaml-version", "ringfence: 1\n", "%YAML 1.1\n---\nringfence: 1\n", "---", "YAML 1.2"),
    ("yaml-syntax", "zones: [public, trading, books, vaults]", "zones: [public, trading, books", "externals", ""),
    # words and shapes
    ("unknown-word", "margin: cross", "margn: cross", "margn: cross", "did you mean `margin`?"),
    ("unknown-word", "gates:\n", "gate:\n", "gate:\n", "did you mean `gates`?"),
    ("missing-word", "    on: ledger\n    accrual: fees", "    accrual: fees", "  fee:", "`on`"),
    ("missing-word", "    from: outside\n    to: ", "    to: ", "to: \"client/{client}/cash\"\n    assets: USDC\n    needs: [watcher_key", "from where to where"),
    ("missing-word", "name: two-buckets\n", "", None, "no `name`"),
    ("missing-word", "    moves: \"client/{b}/* -> anywhere\"\n", "", "for: {a: client, b: client}\n    compromised", "exactly one of"),
    ("missing-word", "    mode: pivot\n", "", "for: {a: client, b: client}\n    compromised", "`mode`"),
    ("unfitting-word", "    mode: pivot\n", "    mode: pivot\n    at_least: 2\n", "at_least: 2", "beside `moves`"),
    ("unknown-choice", "role: insurance", "role: insurence", "role: insurence", "did you mean `insurance`?"),
    ("wrong-type", "limits: {leverage: 3}", "limits: 3", "limits: 3", "a mapping of"),
    ("wrong-type", "limits: {leverage: 3}", 'limits: {leverage: "3"}', 'leverage: "3"', "without quotes"),
    ("wrong-type", "port: 443}", "port: 70000}", "port: 70000", "65535"),
    ("repeated", "accepts: [USDC, USDC-debt]\n    margin: cross", "accepts: [USDC, USDC]\n    margin: cross", "[USDC, USDC]", "twice"),
    ("bad-name", "  rounding: {owner", "  round ing: {owner", "round ing", "not a name such as"),
    ("bad-amount", '"100000 per 1 d"}, all', '"1e5 per 1 d"}, all', "1e5", "plain decimal"),
    ("bad-amount", '"100000 per 1 d"}, all', '"-5 per 1 d"}, all', '"-5', "plain decimal"),
    ("bad-amount", '"100000 per 1 d"}, all', '"0.0000001 per 1 d"}, all', "0.0000001", "digits after the point"),
    ("bad-amount", '"100000 per 1 d"}, all', '"nan per 1 d"}, all', "nan per", "plain decimal"),
    ("bad-amount", '"100000 per 1 d"}, all', '"100000 EUR per 1 d"}, all', "EUR", "plain decimal"),
    ("bad-amount", '"100000 per 1 d"}, all', '"100000 a day"}, all', "a day", "per 1 d"),
    ("bad-amount", "daily_loss: 5000 USDC", 'daily_loss: "5000"', 'daily_loss: "5000"', "with its asset"),
    ("bad-amount", "contract: 0.001 BTC", "contract: 0.001 ETH", "0.001 ETH", "count it in `BTC`"),
    ("bad-amount", "{from: 0 USDC, maintenance: \"0.5 %\"", "{from: 0 USDC-debt, maintenance: \"0.5 %\"", "tiers:", "count in `USDC`"),
    ("bad-amount", "at_most: 0 per 1 d", "at_most: 5 per 1 d", "5 per 1 d", "only 0 needs no asset"),
    ("bad-duration", "cooling: 24 h", "cooling: 1.5 d", "1.5 d", "length of time"),
    ("bad-duration", "cooling: 24 h", "cooling: 0 h", "0 h", "at least 1"),
    ("bad-duration", "8 h at mark", "8 h at last", "8 h at last", "8 h at index"),
    ("bad-share", 'free: "150 %"', 'free: "150"', 'free: "150"', "15 %"),
    ("bad-share", 'price_band: "5 %"', 'price_band: "5 % of index"', "5 % of index", "15 %"),
    ("bad-phrase", '"2 of 3 within 1 %"', '"two of 3 within 1 %"', "two of 3", "2 of 3 within 1 %"),
    ("bad-phrase", 'price: "within 1 % of index"', 'price: "within 1 % of close"', "of close", "at mark"),
    ("bad-need", 'needs: "2 of [officer_a, officer_b]"', 'needs: "two of [officer_a]"', "two of", "2 of [a, b]"),
    ("bad-condition", "when: releasable", "when: relaesable", "relaesable", "releasable"),
    ("bad-condition", "when: releasable", "when: releasable 1 d", "releasable 1 d", "no length of time"),
    ("bad-condition", "when: releasable", "when: operator_silent", "operator_silent", "30 d"),
    ("bad-leg", '"treasury -> client/{client}/hedge"]', '"treasury = client/{client}/hedge"]', "treasury =", "->"),
    ("bad-selector", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "anywhere -> client/{a}/bet"', "anywhere ->", "start with `**`"),
    ("bad-selector", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "kind:client -> client/{a}/bet"', "kind:client", "owner:client"),
    ("include", "instruments:\n", "instruments:\n  include: ../secrets.yaml\n", "secrets", "below it"),
    ("include", "instruments:\n", "instruments:\n  include: /etc/passwd\n", "passwd", "below it"),
    # names
    ("unknown-name", "to: treasury\n", "to: tresury\n", "tresury", "did you mean `treasury`?"),
    ("unknown-name", "needs: client_key\n    when", "needs: clint_key\n    when", "clint_key", "did you mean `client_key` or"),
    ("unknown-name", "needs: client_key\n    when", 'needs: "1 of [client_key, clint_key]"\n    when', "clint_key", "did you mean"),
    ("unknown-name", "accepts: [USDC], takes_over", "accepts: [USDT], takes_over", "USDT", "did you mean `USDC`"),
    ("unknown-name", "{owner: house, role: rounding", "{owner: hause, role: rounding", "hause", "did you mean `house`?"),
    ("unknown-name", "limit: {each: {USDC: \"100000", "limit: {each: {USDT: \"100000", "USDT", "did you mean `USDC`"),
    ("unknown-name", "trade: {needs: client_key, instruments: [BTC-PERP]}\n  \"client/{client}/bet\"", "trade: {needs: client_key, instruments: [BTC-PRP]}\n  \"client/{client}/bet\"", "BTC-PRP", "did you mean `BTC-PERP`?"),
    ("unknown-name", "index/BTC: {", "index/BTX: {", "  BTC-PERP:", "index/BTX"),
    ("unknown-name", "computed_by: [watcher, ledger]", "computed_by: [wacher, ledger]", "wacher", "did you mean `watcher`?"),
    ("unknown-name", "zone: trading,", "zone: trade,", "zone: trade,", "did you mean `trading`?"),
    ("unknown-name", "{from: ledger, to: risk,", "{from: ledger, to: trading,", "to: trading", "a zone grants nothing"),
    ("unknown-name", "{from: ledger, to: risk,", "{from: ledger, to: marks,", "to: marks", "no service or external"),
    ("unknown-name", "record: USDC-debt", "record: USD-debt", "record: USD-debt", "did you mean `USDC-debt`"),
    ("unknown-name", "cover: insurance", "cover: insurance/x", "insurance/x", "did you mean `insurance`?"),
    ("unknown-name", "for: {a: client}", "for: {a: clients}", "clients", "did you mean `client`?"),
    ("unknown-name", 'compromised: "client_key/{a}"', "compromised: watch", "watch\n", "did you mean"),
    ("unknown-name", "except: [settle, fee, repay_hedge, repay_bet]\n    without: client_key", "except: [setle, fee]\n    without: client_key", "setle", "did you mean `settle`?"),
    ("unknown-name", "per: client, held_by: client,", "per: house, held_by: client,", "per: house", "no family"),
    ("unknown-name", '"client/{client}/cash": {owner', '"client/{member}/cash": {owner', "{member}", "no family"),
    ("unknown-name", "needs: client_key\n    when", "needs: client_key/acme\n    when", "client_key/acme", "`members` of `client`"),
    ("unknown-name", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "client/{c}/hedge -> client/{a}/bet"', "  a_bet_never", "stands for no family"),
    ("unused-variable", "for: {a: client}", "for: {a: client, z: client}", "z: client", "leave it out"),
    ("reserved-name", "  fee:\n", "  trade:\n", "  trade:\n", "another name"),
    ("reserved-name", "  repay_bet:\n", "  settle:\n", "  settle:\n    legs", "a gate too"),
    # assets, prices, instruments
    ("numeraire", "  USDC-debt: {debt_in", "  EUR: {decimals: 2}\n  USDC-debt: {debt_in", "assets:", "numeraire"),
    ("numeraire", "name: two-buckets", "name: two-buckets\nnumeraire: USDC-debt", "numeraire", "in a coin"),
    ("numeraire", 'assets:\n  USDC: {decimals: 6,', 'numeraire: USDC\nassets:\n  USDC: {decimals: 6, price: index/BTC,', "price: index/BTC", "leave the price out"),
    ("no-price", "assets:\n", "numeraire: USDC\nassets:\n  EUR: {decimals: 2}\n", "EUR", "`index/EUR`"),
    ("price-quorum", '"2 of 3 within 1 %"', '"2 of 4 within 1 %"', "2 of 4", "2 of 3"),
    ("price-quorum", '"2 of 3 within 1 %"', '"4 of 3 within 1 %"', "4 of 3", "at most 3"),
    ("debt", "{debt_in: USDC, decimals: 6}", "{debt_in: USDC, decimals: 8}", "decimals: 8", "decimals: 6"),
    ("debt", "{debt_in: USDC, decimals: 6}", '{debt_in: USDC, decimals: 6, haircut: "5 %"}', "debt_in", "its `USDC`"),
    ("debt", "{debt_in: USDC, decimals: 6}", "{debt_in: USDC-debt, decimals: 6}", "debt_in: USDC-debt", "no coin"),
    ("debt", 'haircut: "0 %"}', 'haircut: "0 %", cap: 5 USDC}', "cap: 5", "no debt"),
    ("haircut-order", 'haircut: "0 %"}', 'haircut: "101 %"}', "101 %", "within 0 % and 100 %"),
    ("haircut-order", 'haircut: "0 %"}', 'haircut: [{from: 1 USDC, rate: "1 %"}]}', "from: 1 USDC", "0 USDC"),
    ("haircut-order", 'haircut: "0 %"}', 'haircut: [{from: 0 USDC, rate: "2 %"}, {from: 5 USDC, rate: "1 %"}]}', "from: 0 USDC, rate", "rise"),
    ("tier-order", "{from: 0 USDC, maint", "{from: 1 USDC, maint", "tiers:", "does not start at zero"),
    ("tier-order", 'maintenance: "1 %"', 'maintenance: "0.4 %"', "tiers:", "bracket 2"),
    ("tier-order", "leverage: 50}", "leverage: 101}", "tiers:", "bracket 2"),
    ("tier-order", "leverage: 100}", "leverage: 201}", "tiers:", "one part in that many"),
    ("contract-tick", 'tick: "0.1"', 'tick: "0.0001"', "BTC-PERP:", "whole number of units"),
    ("instrument", "kind: perpetual", "kind: future", "BTC-PERP:", "no `expires`"),
    ("instrument", "    underlying: BTC\n", '    underlying: BTC\n    strike: "5"\n', "strike", "leave it out"),
    ("instrument", "    underlying: BTC\n    quote: USDC\n    contract: 0.001 BTC\n", "    underlying: USDC\n    quote: USDC\n    contract: 1 USDC\n    index: index/BTC\n", "quote: USDC", "another quote"),
    ("instrument", 'maker: "0.02 %"', 'maker: "-0.06 %"', "maker", "more in rebates"),
    ("instrument", 'price_band: "5 %"', 'price_band: "100 %"', "price_band", "below 100 %"),
    ("instrument", 'cap: "2 %"}', 'cap: "0 %"}', "funding: {", "above 0 %"),
    # keys
    ("key-holder", "watcher_key: {held_by: watcher,", "watcher_key: {", "watcher_key: {", "nobody holds"),
    ("key-holder", ", holds: watcher_key}", "}", "watcher_key: {held_by", "holds: [watcher_key]"),
    ("key-holder", "watcher_key: {held_by: watcher,", "watcher_key: {held_by: house,", "holds: watcher_key", "says otherwise"),
    ("key-holder", "per: client, held_by: client,", "per: client, held_by: house,", "per: client, held_by: house", "held_by: client"),
    ("carries", "holds: wallet_key}", "holds: wallet_key, carries: wallet_key}", "carries: wallet_key", "write it once"),
    ("carries", "officer_a: {person: alice, host: laptop_a,", "officer_a: {person: alice, host: laptop_a, form: bearer,", "carries:", "has it"),
    ("needs", "needs: client_key\n    when", "needs: []\n    when", "needs: []", "at least one key"),
    ("quorum", 'needs: "2 of [officer_a, officer_b]"', 'needs: "3 of [officer_a, officer_b]"', "3 of", "at most 2"),
    ("quorum", 'needs: "2 of [officer_a, officer_b]"', 'needs: "2 of [officer_a, officer_a]"', "officer_a, officer_a]\"", "each key once"),
    ("shared-holder", "{person: bob, host: laptop_b", "{person: alice, host: laptop_b", 'needs: "2 of [officer_a', "the person `alice`"),
    ("shared-holder", "{person: bob, host: laptop_b", "{person: bob, host: laptop_a", 'needs: "2 of [officer_a', "the host `laptop_a`"),
    ("member", "    needs: \"2 of [officer_a, officer_b]\"", "    needs: client_key", "needs: client_key\n    on: ledger\n    limit: {all", "names no member"),
    ("member", "needs: client_key\n    when", 'needs: "client_key/{x}"\n    when', "{x}", "a variable of the ends"),
    ("member", 'needs: "2 of [officer_a', 'needs: "2 of [officer_a/acme', "officer_a/acme", "one key"),
    ("member", "    needs: [risk_key, ledger_key]\n    accrual: debt_repayment", "    needs: client_key\n    accrual: debt_repayment", "needs: client_key\n    accrual", "client_key/{a}"),
    # compartments
    ("compartment", "{owner: house, role: rounding", "{role: rounding", "rounding: {role", "no `owner`"),
    ("compartment", "outside: {kind: external}", "outside: {kind: external, role: custody}", "outside: {kind", "no walls of ours"),
    ("compartment", "rounding, accepts: [USDC]}", "rounding, accepts: [USDC], pinned: true}", "pinned: true}\n  treasury", "inside"),
    ("compartment", '  "client/{client}/cash": {owner', '  clients/cash: {owner', "clients/cash", "{client}"),
    ("compartment", "role: clearing, accepts: [USDC], must_net_to: zero", "role: clearing, accepts: [USDC]", "clearing: {owner", "must net to zero"),
    ("compartment", "role: insurance,", "role: custody,", "takes_over", "role: insurance"),
    ("compartment", "    margin: cross\n", "", '"client/{client}/hedge":', "no margin"),
    ("compartment", "    trade: {needs: client_key, instruments: [BTC-PERP]}\n  \"client/{client}/bet\"", "  \"client/{client}/bet\"", "limits: {leverage: 3}", "does not trade"),
    ("compartment", "limits: {leverage: 3}", 'limits: {leverage: 3, drawdown: "0 %"}', "drawdown", "above 0 %"),
    ("compartment", "  rounding: {owner", '  "client/{client}/{client}": {owner: client, role: custody, accepts: USDC}\n  rounding: {owner', "{client}/{client}", "the same compartment"),
    ("trade", "accepts: [USDC, USDC-debt]\n    margin: isolated", "accepts: [USDC-debt]\n    margin: isolated", "trade: {needs: client_key, instruments: [BTC-PERP]}\n  insurance", "does not accept"),
    ("settlement", "insurance], clearing]", "insurance], treasury]", "trade: {", "accrual: variation"),
    ("settlement", '[["client/{client}/hedge", "client/{client}/bet", insurance]', '[["client/{client}/hedge", insurance]', "trade: {needs: client_key, instruments: [BTC-PERP]}\n  insurance", "bet"),
    ("clearing", "role: clearing", "role: custody", "compartments:", "0 compartments"),
    ("rounding", "role: rounding", "role: custody", "compartments:", "0 compartments"),
    ("thresholds", SMALL[SMALL.index("thresholds:") : SMALL.index("gates:")], "", "compartments:", "without levels"),
    ("threshold-order", 'warn: "120 %"', 'warn: "160 %"', "warn:", "`warn` is above `free`"),
    ("threshold-order", 'liquidate: "100 %"', 'liquidate: "99 %"', "liquidate:", "at least `100 %`"),
    ("threshold-order", 'stop_at: "110 %"', 'stop_at: "99 %"', "stop_at:", "stops below"),
    # gates and exchanges
    ("wildcard", "from: treasury\n    to: insurance", 'from: treasury\n    to: "client/*/hedge"', "  fill_pool:", "only in claims"),
    ("accrual-reaches-client-money", 'from: ["client/{client}/hedge", "client/{client}/bet"]\n    to: treasury', 'from: "client/{client}/*"\n    to: treasury', "  fee:", "client/{client}/cash"),
    ("gate-moves-nothing", "  insurance: {owner: house, role: insurance, accepts: [USDC]", "  insurance: {owner: house, role: insurance, accepts: [USDC-debt]", "  penalty:", "no pair of ends of `penalty`"),
    ("gate-moves-nothing", "    from: treasury\n    to: insurance\n    assets: USDC\n", "    from: treasury\n    to: insurance\n    assets: [USDC, USDC-debt]\n", "  fill_pool:", "leave it out"),
    ("gate-asset", "    from: treasury\n    to: insurance\n    assets: USDC\n", "    from: treasury\n    to: insurance\n    assets: [USDC, BTC-PERP]\n", "BTC-PERP]\n    needs", "without a price"),
    ("gate-asset", "    from: treasury\n    to: insurance\n    assets: USDC\n", "    from: treasury\n    to: insurance\n    assets: [USDC, USDC-debt]\n", "USDC-debt]\n    needs", "drawn or repaid"),
    ("no-limit", "    on: ledger\n    limit: {all: {USDC: \"1000000 per 1 d\"}}\n", "    on: ledger\n", "  fill_pool:", "no limit for `USDC`"),
    ("no-limit", '    limit: {all: {USDC: "1000000 per 1 d"}}\n', "    limit: {each_transfer: {USDC: 5 USDC}}\n", "  fill_pool:", "in a window"),
    ("limit-unused", '    limit: {all: {USDC: "1000000 per 1 d"}}\n', '    limit: {all: {USDC: "1 per 1 d", USDC-debt: "1 per 1 d"}}\n', "limit: {all: {USDC: \"1 per", "does not move"),
    ("limit-each", '    limit: {all: {USDC: "1000000 per 1 d"}}\n', '    limit: {each: {USDC: "1 per 1 d"}}\n', 'limit: {each: {USDC: "1 per', "write `all`"),
    ("valued-in", 'on: ledger\n    limit: {all: {USDC: "1000000 per 1 d"}}\n', 'on: [ledger, vault]\n    limit: {valued_in: USDC, all: {USDC: "1000000 per 1 d"}}\n', "valued_in", "on: ledger"),
    ("destination", "{kind: external, pinned: true, cooling: 24 h}", "{kind: external, cooling: 24 h}", "  withdraw:", "pinned: true"),
    ("accrual", "    accrual: fees\n    computed_by: [risk, ledger]\n", "    accrual: fees\n", "  fee:", "computed_by"),
    ("accrual", "    on: ledger\n    accrual: fees\n", "    on: vault\n    accrual: fees\n", "on: vault", "the ledger knows"),
    ("accrual", '    limit: {all: {USDC: "1000000 per 1 d"}}\n', '    limit: {all: {USDC: "1000000 per 1 d"}}\n    computed_by: risk\n', "computed_by: risk\n", "write `accrual`"),
    ("accrual", "  fill_pool:\n", '  levy: {from: "client/{a}/hedge", to: treasury, assets: USDC, needs: ledger_key, on: ledger, accrual: fees, computed_by: ledger}\n  fill_pool:\n', None, "worked out by others than at `fee`"),
    ("plane", "needs: client_key\n    when: releasable\n    on: ledger", "needs: client_key\n    when: releasable\n    on: network", "on: network", "knows no value"),
    ("cancel", '    limit: {all: {USDC: "1000000 per 1 d"}}\n', '    limit: {all: {USDC: "1000000 per 1 d"}}\n    cancel: officer_a\n', "cancel: officer_a", "write `delay`"),
    ("standing", '    limit: {all: {USDC: "1000000 per 1 d"}}\n', '    limit: {all: {USDC: "1000000 per 1 d"}}\n    standing: risk_key\n', "standing: risk_key", "by hand"),
    ("condition", '    needs: "2 of [officer_a, officer_b]"\n', '    needs: "2 of [officer_a, officer_b]"\n    when: releasable\n', "when: releasable\n    on: ledger\n    limit: {all", "has no margin"),
    ("exchange", '    price: "within 1 % of index"\n', "", "  repay_hedge:", "within 1 % of index"),
    ("gate-moves-nothing", 'legs: ["client/{client}/hedge -> treasury", "treasury -> client/{client}/hedge"]', 'legs: ["client/{client}/hedge -> treasury", "treasury -> rounding", "rounding -> treasury"]\n    assets: USDC-debt', "legs:", "no asset"),
    ("no-limit", "    accrual: debt_repayment\n    computed_by: [risk, ledger]\n", "", "  repay_hedge:", "limit at least one asset"),
    # waterfalls
    ("no-last-owner", "    last: treasury\n", "", "  buckets:", "write `last: …`"),
    ("no-last-owner", "    record: USDC-debt\n", "", "  buckets:", "write `record: …`"),
    ("no-last-owner", "    last: treasury\n", '    last: "client/{client}/cash"\n', "last:", "of the house"),
    ("no-waterfall", 'for: ["client/{client}/hedge", "client/{client}/bet"]', 'for: ["client/{client}/hedge"]', '"client/{client}/bet":', "who bears its shortfall"),
    ("waterfall", "record: USDC-debt", "record: USDC", "record: USDC\n", "debt_in"),
    ("waterfall", "steps: [own, {cover: insurance}]", "steps: [{cover: insurance}, own]", "steps:", "begin with `own`"),
    ("waterfall", "steps: [own, {cover: insurance}]", 'steps: [own, {cover: "client/{other}/hedge"}]', "steps:", "the same member"),
    ("waterfall", "steps: [own, {cover: insurance}]", 'steps: [own, {deleverage: pro_rata, class: treasury, cap: "0 % of equity"}]', "steps:", "10 % of equity"),
    ("waterfall", "from: [insurance, treasury]", "from: [insurance]", "  buckets:", "accrual: shortfall"),
    ("waterfall", "treasury: {owner: house, role: house_money, accepts: [USDC, USDC-debt]}", "treasury: {owner: house, role: house_money, accepts: [USDC]}", "record: USDC-debt", "accept it there"),
    # services and flows
    ("identity", 'identity: "spiffe://two-buckets/risk"', 'identity: "risk"', 'identity: "risk"', "SPIFFE"),
    ("identity", 'identity: "spiffe://two-buckets/risk"', 'identity: "spiffe://two-buckets/ledger"', "  ledger: {zone", "its own"),
    ("identity", "externals: [internet, chain]", "externals: [internet, chain, risk]", "  risk: {zone", "once"),
    ("flow", "{from: internet, to: gateway, port: 443}", "{from: gateway, to: gateway, port: 443}", "from: gateway, to: gateway", "itself"),
    ("flow", "{from: internet, to: gateway, port: 443}", "{from: internet, to: chain, port: 443}", "to: chain, port: 443", "must be a service"),
    ("flow", "  - {from: [wallet, watcher], to: chain, port: 8545}\n", "  - {from: [wallet, watcher], to: chain, port: 8545}\n  - {from: wallet, to: chain, port: 8545}\n", "{from: wallet, to: chain", "twice"),
    # claims
    ("exemption", "except: [settle, fee, repay_hedge, repay_bet]\n    without: client_key", "except: [settle, withdraw]\n    without: client_key", "[settle, withdraw]", "exempt only what moves exactly"),
    ("exemption", "except: [settle, fee, repay_hedge, repay_bet]\n    without: client_key", "except: [settle, deleverage]\n    without: client_key", "[settle, deleverage]", "waterfall step"),
    ("claim-matches-nothing", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "client/{a}/hedges -> client/{a}/bet"', "  a_bet_never", "did you mean"),
    ("claim-matches-nothing", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "client/{a}/hedge -> role:escrow"', "  a_bet_never", "roles in use"),
    ("claim-matches-nothing", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "client/{a}/hedge -> owner:clients"', "  a_bet_never", "did you mean `client`?"),
    ("claim-matches-nothing", 'never: "client/{a}/hedge -> client/{a}/bet"', 'never: "client/{a}/hedge -> client/{a}/hedge"', "  a_bet_never", "ends where it starts"),
    ("claim-matches-nothing", "plane: ledger", "plane: vault", "plane: vault", "no gate is checked"),
    # notes
    ("unused-family", "  house: {kind: house}", "  house: {kind: house}\n  staff: {kind: affiliate, family: true}", "  staff:", "give it a compartment"),
    ("unused-key", "  risk_key:", "  spare_key: {person: carol, signs: by_hand}\n  risk_key:", "  spare_key", "nothing needs"),
    ("unused-compartment", "  rounding: {owner", "  attic: {owner: house, role: custody, accepts: USDC}\n  rounding: {owner", "  attic", "no gate leads"),
    ("cover-is-no-insurance", "steps: [own, {cover: insurance}]", "steps: [own, {cover: treasury}]", "steps:", "pays for others"),
    ("unused-zone", "zones: [public,", "zones: [attic, public,", "zones:", "nothing runs"),
]  # fmt: skip

OTHER_ROWS = [
    (DESK, "entities", "    crosses_entities: true\n", "", "  management_fee:", "northlight_management"),
    (DESK, "entities", "    on: ledger\n    limit: {valued_in", "    on: ledger\n    crosses_entities: true\n    limit: {valued_in", "crosses_entities: true\n    limit: {valued_in", "stays within one entity"),
    (DESK, "entities", "northlight_management: {part_of: northlight_group,", "northlight_management: {part_of: northlight_management,", "northlight_management: {", "part of itself"),
    (DESK, "entities", "parties: [fund_two]}", "parties: [fund_one, fund_two]}", "northlight_fund_two: {", "write it once"),
    (DESK, "bad-lei", "999900NRTHLGHTGRP063", "999900NRTHLGHTGRP064", "GRP064", "check digits"),
    (DESK, "valued-in", "limit: {valued_in: USDC, all: {USDC:", "limit: {valued_in: USDC, all: {BTC:", "valued_in", "limit it in `USDC`"),
    (DESK, "haircut-order", '{from: 500 BTC, rate: "10 %"}', '{from: 0 BTC, rate: "10 %"}', "from: 0 BTC", "rise"),
    (DESK, "bad-amount", '{from: 500 BTC, rate: "10 %"}', '{from: 500 ETH, rate: "10 %"}', "500 ETH", "count in `BTC`"),
    (CUSTODIAN, "unknown-name", "member: acme", "member: acmee", "acmee", "did you mean `acme`?"),
    (CUSTODIAN, "unknown-name", "needs: client_key/acme\n", "needs: client_key/acmee\n", "client_key/acmee", "did you mean `acme`?"),
    (CUSTODIAN, "debt", "{decimals: 6, mirrors: USDC}", "{decimals: 6, mirrors: USDC, debt_in: USDC}", "USDC-credit: {", "one of the two"),
    (CUSTODIAN, "verifier", "  ledger: {zone: books, identity: \"spiffe://keep/ledger\", holds: ledger_key}\n", "  books: {zone: books, identity: \"spiffe://keep/ledger\", holds: ledger_key}\n", "services:", "`ledger`"),
    (VENUE, "include", "instruments/perpetuals.yaml}", "instruments/nowhere.yaml}", "nowhere", "can be read"),
    (VENUE, "member", 'needs: ["client_key/{a}", "client_key/{b}"]', "needs: client_key", "needs: client_key\n    price", "client_key/{a}"),
    (VENUE, "member", 'needs: ["client_key/{a}", "client_key/{b}"]', 'needs: ["client_key/{a}", "client_key/{c}"]', "{c}", "`a`, `b`"),
    (VENUE, "exemption", "except: [fee, convert, convert_directional]", "except: [fee, sweep]", "[fee, sweep]", "`sweep`"),
]  # fmt: skip


AT_THE_EDGE = [
    (
        "  fill_pool:\n",
        '  levy: {from: "client/{a}/hedge", to: treasury, assets: USDC, needs: ledger_key, on: ledger, accrual: fees, computed_by: [ledger, risk]}\n  fill_pool:\n',
    ),
    (
        "  fill_pool:\n",
        '  levy: {from: "client/{a}/cash", to: treasury, assets: USDC, needs: ledger_key, on: ledger, accrual: fees, computed_by: ledger}\n  fill_pool:\n',
    ),
    ('warn: "120 %"', 'warn: "150 %"'),
    ('liquidate: "100 %"', 'liquidate: "105 %"'),
    ('stop_at: "110 %"', 'stop_at: "100 %"'),
    ("leverage: 100}", "leverage: 200}"),
    ("leverage: 50}", "leverage: 100}"),
    ('maintenance: "1 %"', 'maintenance: "0.5001 %"'),
    ('tick: "0.1"', 'tick: "0.001"'),
    ('maker: "0.02 %"', 'maker: "-0.05 %"'),
    ('price_band: "5 %"', 'price_band: "99.9999 %"'),
    ('price_band: "5 %"', 'price_band: "0.0001 %"'),
    ('cap: "2 %"}', 'cap: "100 %"}'),
    ('haircut: "0 %"}', 'haircut: "100 %"}'),
    ('haircut: "0 %"}', 'haircut: [{from: 0 USDC, rate: "1 %"}, {from: 0.000001 USDC, rate: "1 %"}]}'),
    ('"2 of 3 within 1 %"', '"3 of 3 within 0 %"'),
    ('needs: "2 of [officer_a, officer_b]"', 'needs: "1 of [officer_a, officer_b]"'),
    ("limits: {leverage: 3}", 'limits: {leverage: 1, drawdown: "100 %"}'),
    ("limits: {leverage: 3}", 'limits: {leverage: 1000, drawdown: "0.0001 %"}'),
    (
        "steps: [own, {cover: insurance}]",
        'steps: [own, {deleverage: queue, class: "client/{client}/bet", cap: "100 % of equity"}]',
    ),
    ("port: 443}", "port: 65535}"),
    ("port: 443}", "port: 1}"),
    ("officer_b: {person: bob, host: laptop_b", "officer_b: {person: bob"),
    (
        "- {from: internet, to: gateway, port: 443}",
        "- {from: internet, to: gateway, port: 443, protocol: udp}",
    ),
    ("accepts: [USDC], takes_over: all", "accepts: [USDC], takes_over: [BTC-PERP]"),
    ("{kind: external, pinned: true, cooling: 24 h}", "{kind: external, pinned: true}"),
]


@pytest.mark.parametrize(("before", "after"), AT_THE_EDGE)
def test_what_is_just_right_is_accepted(before, after):
    assert before in SMALL
    found = findings_of(SMALL.replace(before, after, 1))
    assert [str(one) for one in found] == []


def assert_found(text, rule, before, after, at, says):
    assert before in text, before
    broken = text.replace(before, after, 1)
    findings = findings_of(broken)
    for one in findings:
        assert re.fullmatch(r"p\.yaml:[0-9]+", one.where), one
        assert one.found
        assert one.right
    told = [str(one) for one in findings]
    found = [one for one in findings if one.rule == rule]
    assert found, told
    if at is not None:
        said = [one for one in found if says in f"{one.found}; {one.right}"]
        assert said, told
        assert said[0].where == f"p.yaml:{line_of(broken, at)}", told


@pytest.mark.parametrize(("rule", "before", "after", "at", "says"), SMALL_ROWS)
def test_each_law_has_its_finding(rule, before, after, at, says):
    assert_found(SMALL, rule, before, after, at, says)


@pytest.mark.parametrize(("text", "rule", "before", "after", "at", "says"), OTHER_ROWS)
def test_each_law_of_larger_policies_has_its_finding(text, rule, before, after, at, says):
    assert_found(text, rule, before, after, at, says)


def test_every_law_has_a_row():
    rules = {row[0] for row in SMALL_ROWS} | {row[1] for row in OTHER_ROWS}
    elsewhere = {"too-large", "too-deep"}  # tests/unit/policy/test_any_text.py
    assert set(LAWS) == rules | elsewhere


def test_every_finding_has_its_law(root):
    """The words that the code calls findings by are those of the table."""
    code = "".join(path.read_text() for path in (root / "src/ringfence/policy").rglob("*.py"))
    said = set(re.findall(r'(?:fail|error|note|_error)\(\s*"([a-z-]+)"', code))
    assert said <= set(LAWS), said - set(LAWS)
    assert all(f'"{rule}"' in code for rule in LAWS)


def test_all_mistakes_are_found_at_once():
    broken = (
        SMALL.replace("margin: cross", "margn: cross")
        .replace("to: treasury\n", "to: tresury\n")
        .replace('warn: "120 %"', 'warn: "160 %"')
        .replace('"2 of [officer_a, officer_b]"', '"3 of [officer_a, officer_b]"')
        .replace("    last: treasury\n", "")
    )
    found = [(one.rule, one.where) for one in findings_of(broken)]
    assert found == [
        ("unknown-word", f"p.yaml:{line_of(broken, 'margn')}"),
        ("threshold-order", f"p.yaml:{line_of(broken, 'warn:')}"),
        ("unknown-name", f"p.yaml:{line_of(broken, 'tresury')}"),
        ("quorum", f"p.yaml:{line_of(broken, '3 of [')}"),
        ("no-last-owner", f"p.yaml:{line_of(broken, '  buckets:')}"),
    ]


def test_an_entry_that_cannot_be_read_is_not_called_unknown():
    broken = SMALL.replace("  USDC: {decimals: 6, haircut", "  USDC: {decimals: six, haircut")
    assert [one.rule for one in findings_of(broken)] == ["wrong-type"]
