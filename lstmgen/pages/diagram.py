"""Draw a cell as SVG from its equations: its memory runs along the top, and its gates act on it.

No picture is hand-drawn. Each gate gets a column, and the equations in `inspection/walk.py` determine the wires:

    σ, tanh of a sum                    a box above the wires of x and h; a peephole enters it from the left
    c' = f c + i g                      on the line of the state: × in the column of f, + in the column of g
    (1 - f) g                           a branch of f through a circle with 1-
    h' = o tanh(c')                     down from the line of the state, to the right of all gates
    R (r h), r (R h + b)                a candidate that sees the old output through another gate
"""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lstmgen.cells import Cell
from lstmgen.errors import ConfigError
from lstmgen.inspection.walk import Line, formula, lines_of, sums
from lstmgen.pages.svg import BEND, BOX, BOX_HEIGHT, ROUND, Picture, Point

_TOP, _STATE, _TANH, _WRITE, _OUTPUT, _PEEPHOLE = 36, 76, 118, 146, 178, 194  # the rows, from the top
_GATE, _HIDDEN, _INPUT, _NAMES, _BOTTOM, _FOOT, _HEIGHT = 228, 304, 338, 372, 388, 416, 436
_MARGIN, _SOURCE, _FIRST, _COLUMN, _WIDE = 50, 80, 126, 96, 132  # columns: x, the first gate, from gate to gate
_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"


class _Gate(NamedTuple):
    """A gate in the picture."""

    line: Line
    x: float
    terms: Sequence[ast.expr]  # of the sum inside its σ or tanh


def draw_cell(cell: Cell, identity: str = "cell") -> str:
    """Return the picture of a cell; raise ConfigError if the rules above do not cover one of its equations.

    `identity` is unique among the pictures of a page.
    """
    return _CellPicture(cell).drawn(identity)


def draw_chain(cell: Cell, text: str) -> str:
    """Return the picture of a chain: the same cell reads each character of a text."""
    picture, wide, apart = Picture(), 92, 164
    states = {name: "c" if name == "cell" else "h" for name in reversed(cell.state_type._fields)}
    levels = (92, 128) if len(states) > 1 else (110,)
    for step, character in enumerate(text):
        left, number = _MARGIN + step * apart, _SUBSCRIPTS[step + 1]
        middle = left + wide / 2
        picture.body(left, 64, wide, 92)
        picture.label(middle, 116, str(cell.kind), kind="plain")
        picture.circle(middle, 206, character)
        picture.wire((middle, 206 - ROUND), (middle, 156), kind="input")
        picture.wire((middle, 64), (middle, 24))
        picture.label(middle + 8, 38, f"h{number}", anchor="start")
        for level, letter in zip(levels, states.values(), strict=True):
            kind = "state" if level == levels[0] else ""
            if step == 0:
                picture.wire((0, level), (left, level), kind=kind)
            start, end = left + wide, left + (apart if step + 1 < len(text) else wide + _MARGIN)
            picture.wire((start, level), (end, level), kind=kind)
            picture.label((start + end) / 2 - 2, level - 8, f"{letter}{number}")
    told = f"The same cell reads {', '.join(text)}, one after the other, and passes on {' and '.join(states.values())}."
    return picture.svg(
        "chain", 2 * _MARGIN + wide + apart * (len(text) - 1), 228, f"The chain of the cell: {cell}", told
    )


def draw_attention(identity: str = "attention") -> str:
    """Return the picture of `network/attention.py`, which looks back at three outputs with weights a1 to a3."""
    picture, columns, now, c = Picture(), (126, 240, 354), 528, 448
    total, weighed, softmax, score, output = 76, 136, 200, 264, 330
    picture.body(8, 36, 568, 348)
    picture.wire((now, output - ROUND), (now, total + ROUND))
    picture.wire((now, score + 2 * BEND), (now, score), (c + BOX, score))
    for start, end in ((c - BOX, columns[2]), (columns[2] - ROUND, columns[1]), (columns[1] - ROUND, columns[0])):
        picture.wire((start, score), (end + ROUND, score))
    picture.box(c, score, "Q")
    for back, x in zip((3, 2, 1), columns, strict=True):
        picture.circle(x, output, "y", kind="letter")
        picture.label(x, output + 38, f"{back} back", kind=f"name back a{back}")
        picture.wire((x, output - ROUND), (x, score + ROUND))
        picture.circle(x, score, "·")
        picture.wire((x, score - ROUND), (x, softmax + BOX_HEIGHT))
        picture.box(x, softmax, "a")
        picture.wire((x, softmax - BOX_HEIGHT), (x, weighed + ROUND), kind="recalled", value=f"a{back}")
        picture.label(x - 9, weighed + 35, "", value=f"a{back}", anchor="end")
        if back > 1:
            picture.wire((x + BOX, softmax), (x + columns[1] - columns[0] - BOX, softmax), kind="norm", head=False)
        bypass = (x + ROUND, output), (x + 44, output), (x + 44, weighed), (x + ROUND, weighed)
        picture.wire(*bypass, over=[(x + 44, score), (x + 44, softmax)])
        picture.circle(x, weighed, "×")
        if back == 3:
            way = (x, weighed - ROUND), (x, total), (columns[1] - ROUND, total)
            picture.wire(*way, kind="recalled", value="a3")
            continue
        picture.wire((x, weighed - ROUND), (x, total + ROUND), kind="recalled", value=f"a{back}")
        picture.circle(x, total, "+")
        picture.wire((x + ROUND, total), ((c - BOX if back == 1 else columns[2] - ROUND), total))
    for level, name in ((softmax, "softmax"), (score, "score"), (weighed, "pick")):
        picture.label(columns[0] - 34, level + 5, name, kind="name", anchor="end")
    picture.box(c, total, "C")
    picture.wire((c + BOX, total), (now - ROUND, total))
    picture.circle(now, total, "+")
    picture.wire((now, total - ROUND), (now, 8))
    picture.circle(now, output, "y", kind="letter")
    picture.label(now, output + 38, "now", kind="name")
    told = (
        "Attention compares the output y of each step with the last outputs: a = softmax(Q y · y back) is the fraction "
        "that it takes of each. It adds C times their sum to y."
    )
    return picture.svg(identity, 584, 392, "Attention to the last outputs", told)


class _CellPicture(Picture):
    """The picture of one cell. In a value, operators follow their operands, as in `f c * i g * +`."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell, self.lines, self.sums = cell, lines_of(cell.gate_names), sums(cell)
        order = list(dict.fromkeys(line.part for line in self.lines))
        self.parts = {line.letter: order.index(line.part) + 1 for line in self.lines}
        of = {line.value: line for line in self.lines}
        self.new = (of.get("cell") or of.get("hidden") or self.lines[-1]).letter
        self.old = self.new.removesuffix("'")
        state = next(line for line in self.lines if line.letter == self.new)
        self.products = [] if state.value in self.sums else [*self._factors(state)]
        gates = [line for line in self.lines if line.value in self.sums]
        keeping = {name for product in self.products if self.old in product for name in map(_gate_of, product)}
        x, self.gates = float(_FIRST), dict[str, _Gate]()
        for line in sorted(gates, key=lambda line: line.letter not in keeping):
            terms = [self._parsed(line, term) for term in self.sums[line.value]]
            x += 0 if not self.gates else _WIDE if any(map(self._multiplier, terms)) else _COLUMN
            self.gates[line.letter] = _Gate(line, x, terms)
        self.output = of.get("hidden") if "cell" in of else None
        self.joined: list[str] = []  # the gates whose output is connected
        self.last = x
        self.up = x + (_COLUMN + 58 if self.output else 72)
        self.right = self.up + 26

    def _parsed(self, line: Line, equation: str) -> ast.expr:
        """Parse an equation or a term, in which adjacent factors are multiplied and c' becomes c_."""
        python = re.sub(r"(?<=[\w')]) (?=[\w(])", "*", equation).replace("'", "_")
        try:
            return ast.parse(python, mode="eval").body
        except SyntaxError:
            raise self._unplaced(line) from None

    def _unplaced(self, line: Line) -> ConfigError:
        equation = f"{line.letter} = {formula(line, self.sums)}"
        return ConfigError("cell", str(self.cell), f"no rule in pages/diagram.py places {equation}; add one")

    def _factors(self, line: Line) -> Iterator[list[str]]:
        """Split an equation that is a sum of products: yield the factors of each product, as values."""
        for product in _flat(self._parsed(line, line.equation), ast.Add):
            yield [_value(factor, self._unplaced(line)) for factor in _flat(product, ast.Mult)]

    def _multiplier(self, term: ast.expr) -> str:
        """The gate that multiplies what another gate sees of the past, as in R (r h); empty if there is none."""
        letters = {line.letter for line in self.lines if line.value in self.sums}
        return next((node.id for node in ast.walk(term) if isinstance(node, ast.Name) and node.id in letters), "")

    def drawn(self, identity: str) -> str:
        self._sources()
        for gate in self.gates.values():
            self._gate(gate)
        self._rails()
        self._state()
        self._outputs()
        for letter, gate in self.gates.items():
            if self.joined.count(letter) != 1:
                raise self._unplaced(gate.line)
        width = self.right + _MARGIN
        self.body(_MARGIN, _TOP, self.right - _MARGIN, _BOTTOM - _TOP)
        told = "; ".join(f"{line.name}: {line.letter} = {formula(line, self.sums)}" for line in self.lines)
        return self.svg(identity, width, _HEIGHT, f"One step of the cell: {self.cell}", f"{told}.")

    def _sources(self) -> None:
        """Draw the circle of x at the bottom, and label the states on the left."""
        if self.old != "h":
            self.label(_MARGIN / 2 - 2, _HIDDEN - 10, "h", value="h")
        self.label(_MARGIN / 2 - 2, _STATE - 10, self.old, value=self.old)
        self.circle(_SOURCE, _FOOT, "x", kind="letter")

    def _rails(self) -> None:
        """Draw the wires of h and x below the gates, as far as the last gate that sees them."""
        seen = [gate.x for gate in self.gates.values() if "R h" in self.sums[gate.line.value]]
        multiplied = [gate.x - _WIDE / 2 for gate in self.gates.values() if any(map(self._multiplier, gate.terms))]
        start: tuple[Point, ...] = ((0, _HIDDEN),)
        if self.old == "h":
            start = ((_SOURCE - 2 * BEND if self.products else 0, _STATE), (_SOURCE, _STATE), (_SOURCE, _HIDDEN))
        end = max((x - BEND for x in [*seen, *multiplied]), default=_SOURCE)
        self.wire(*start, (end, _HIDDEN), value="h", head=False)
        end = max(gate.x for gate in self.gates.values()) - BEND
        self.wire((_SOURCE, _FOOT - ROUND), (_SOURCE, _INPUT), (end, _INPUT), kind="input", head=False)

    def _gate(self, gate: _Gate) -> None:
        """Draw a gate with everything that enters it."""
        line, x, part = gate.line, gate.x, self.parts[gate.line.letter]
        self.label(x, _NAMES, line.value, part, kind="name", anchor="middle")
        title = f"{line.name}: {line.letter} = {formula(line, self.sums)}"
        self.box(x, _GATE, line.equation, part, title=title)
        for name, term in zip(self.sums[line.value], gate.terms, strict=True):
            below, letters = _GATE + BOX_HEIGHT, {each.id for each in ast.walk(term) if isinstance(each, ast.Name)}
            if multiplier := self._multiplier(term):
                self._multiplied(gate, term, multiplier)
            elif name == "W x":
                self.wire((x - 2 * BEND, _INPUT), (x, _INPUT), (x, below), part=part, kind="input", over=[(x, _HIDDEN)])
            elif name == "R h":
                join = (x - 2 * BEND, _HIDDEN), (x, _HIDDEN), (x, _HIDDEN - 2 * BEND)
                self.wire(*join, part=part, value="h", head=False)
            elif name == "b":
                continue
            elif "p" in letters and letters & {self.old, f"{self.old}_"}:
                self._peephole(gate, name)
            else:
                raise self._unplaced(line)

    def _multiplied(self, gate: _Gate, term: ast.expr, multiplier: str) -> None:
        """Draw what the candidate of a GRU sees of the past: the reset gate acts before or after the product with R."""
        x, part, by = gate.x - _WIDE / 2, self.parts[gate.line.letter], self.gates[multiplier]
        others = [each for each in ast.walk(term) if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Add)]
        if others:
            self.wire((x - 2 * BEND, _HIDDEN), (x, _HIDDEN), (x, _HIDDEN - 22), part=part, value="h", head=False)
            self.wire((x, _HIDDEN - 32 - BOX_HEIGHT), (x, _GATE + ROUND), part=part)
            self.box(x, _HIDDEN - 32, _written(others[0]), part, half=34)
        else:
            self.wire((x - 2 * BEND, _HIDDEN), (x, _HIDDEN), (x, _GATE + ROUND), part=part, value="h")
        self.wire((by.x + BOX, _GATE), (x - ROUND, _GATE), part=self.parts[multiplier], value=multiplier, kind="gated")
        self.label((by.x + BOX + x - ROUND) / 2 - 2, _GATE - 9, multiplier, self.parts[multiplier], value=multiplier)
        self.joined.append(multiplier)
        self.circle(x, _GATE, "×", part)
        self.wire((x + ROUND, _GATE), (gate.x - BOX, _GATE), part=part, value="" if others else f"{multiplier} h *")

    def _peephole(self, gate: _Gate, name: str) -> None:
        """Draw a peephole from the line of the state to the left of a gate, from the old state or the new one."""
        first, part = _SOURCE, self.parts[gate.line.letter]
        x = gate.x - _COLUMN / 2 + 8 if gate.x > first + _COLUMN else first
        end = (x, _GATE), (gate.x - BOX, _GATE)
        if name.endswith("'"):
            self.wire((x - 2 * BEND, _STATE), (x, _STATE), *end, part=part, value=self.new, kind="peephole")
        else:
            rail = () if x == first else ((first, _PEEPHOLE), (x, _PEEPHOLE))
            start = (first - 2 * BEND, _STATE), (first, _STATE)
            self.wire(*start, *rail, *end, part=part, value=self.old, kind="peephole")
        self.label(x - 4, _GATE + 20, name, part, kind="letter small", anchor="middle")

    def _state(self) -> None:
        """Draw the line of the state, what is kept and added on it, and the wires that lead to it."""
        state = next(line for line in self.lines if line.letter == self.new)
        part, end = self.parts[self.new], self.right + _MARGIN
        if not self.products:
            gate = self.gates[state.letter]
            self.joined.append(state.letter)
            self.wire((gate.x, _GATE - BOX_HEIGHT), (gate.x, _STATE), (end, _STATE), part=part, value=self.new)
            return
        if not any(self.old in product for product in self.products):
            raise self._unplaced(state)
        stations: dict[float, tuple[str, str]] = {}
        for factors in self.products:
            value = " ".join([factors[0], *(f"{factor} *" for factor in factors[1:])])
            others = [factor for factor in factors if factor != self.old]
            letters = [_gate_of(factor) for factor in others]
            if len(others) > 2 or not all(letter in self.gates for letter in letters):
                raise self._unplaced(state)
            if self.old in factors:
                if len(others) > 1 or others != letters:
                    raise self._unplaced(state)
                for letter in letters:
                    x = self.gates[letter].x
                    self._out(letter, (x, _STATE + ROUND))
                    stations[x] = ("×", value)
                continue
            x = max(self.gates[letter].x for letter in letters)
            entry = (x, _STATE + ROUND)
            if len(others) == 1:
                self._out(letters[0], entry)
            else:
                self._write(factors, x, part)
                self.wire((x, _WRITE - ROUND), entry, part=part, value=value)
                self.label(x + 10, _STATE + 40, "", part, value=value, anchor="start")
            stations[x] = ("+", value)
        start, value = 0.0, self.old
        for number, x in enumerate(sorted(stations), 1):
            operation, product = stations[x]
            self.wire((start, _STATE), (x - ROUND, _STATE), part=0 if number == 1 else part, value=value, kind="state")
            self.circle(x, _STATE, operation, part)
            value = product if operation == "×" else f"{value} {product} +"
            if operation == "×":
                self.label(x + 50, _STATE - 10, "", part, value=value)
            start = x + ROUND
        self.wire((start, _STATE), (end, _STATE), part=part, value=self.new, kind="state")

    def _out(self, letter: str, *way: Point) -> None:
        """Draw the wire that leaves the top of a gate."""
        gate = self.gates[letter]
        self.joined.append(letter)
        aside, branches = way[0] == (gate.x, _OUTPUT), any(f"1 {letter} -" in product for product in self.products)
        part, kind = self.parts[letter], "gated" if gate.line.equation == "σ" else ""
        over = [(gate.x, _PEEPHOLE)]
        self.wire((gate.x, _GATE - BOX_HEIGHT), *way, part=part, value=letter, kind=kind, over=over)
        x, y = (gate.x + 38, _OUTPUT - 10) if aside else (gate.x + 10, (_GATE - 26) if branches else _PEEPHOLE - 10)
        self.label(x, y, letter, part, value=letter, anchor="middle" if aside else "start")

    def _write(self, factors: Sequence[str], x: float, part: int) -> None:
        """Draw a gate times the candidate, below the state line; the × is in the column farther right."""
        for factor in factors:
            letter = _gate_of(factor)
            gate = self.gates[letter]
            if gate.x == x and factor == letter:
                self._out(letter, (x, _WRITE + ROUND))
            elif factor == letter:
                self._out(letter, (gate.x, _WRITE), (x - ROUND, _WRITE))
            else:
                middle = gate.x + 44
                start = (gate.x, _WRITE + 2 * BEND), (gate.x, _WRITE), (middle - ROUND, _WRITE)
                self.wire(*start, part=part, value=letter, kind="gated")
                self.circle(middle, _WRITE, "1\N{MINUS SIGN}", part)
                end = (middle + ROUND, _WRITE), (x - ROUND, _WRITE)
                self.wire(*end, part=part, value=factor, kind="gated")
                self.label((middle + x) / 2, _WRITE - 10, "", part, value=factor)
        self.circle(x, _WRITE, "×", part)

    def _outputs(self) -> None:
        """Draw the new output: to the right, to the layer's next step, and upwards, to the next layer."""
        level, part, end = _STATE, self.parts[self.new], self.right + _MARGIN
        if self.output:
            level, part = _HIDDEN, self.parts[self.output.letter]
            gate, seen = self._output_factors(self.output)
            x = self.last + _COLUMN
            squashed = " " in seen
            self._out(gate, (self.gates[gate].x, _OUTPUT), (x - ROUND, _OUTPUT))
            down = (x - 2 * BEND, _STATE), (x, _STATE)
            if squashed:
                self.wire(*down, (x, _TANH - ROUND), part=part, value=self.new)
                self.circle(x, _TANH, "tanh", part)
                self.wire((x, _TANH + ROUND), (x, _OUTPUT - ROUND), part=part, value=seen)
                self.label(x + 10, _OUTPUT - 28, "", part, value=seen, anchor="start")
            else:
                self.wire(*down, (x, _OUTPUT - ROUND), part=part, value=self.new)
            self.circle(x, _OUTPUT, "×", part)
            up = (self.up - 2 * BEND, level), (self.up, level), (self.up, 4)
            self.wire(*up, part=part, value="h'", over=[(self.up, _STATE)])
            self.wire((x, _OUTPUT + ROUND), (x, level), (end, level), part=part, value="h'")
            self.label(end - _MARGIN / 2, _STATE - 10, self.new, self.parts[self.new], value=self.new)
        else:
            self.wire((self.up - 2 * BEND, level), (self.up, level), (self.up, 4), part=part, value="h'")
        self.label(end - _MARGIN / 2, level - 10, "h'", part, value="h'")
        self.label(self.up - 10, 22, "to the next layer", part, kind="name", anchor="end")

    def _output_factors(self, output: Line) -> tuple[str, str]:
        """The gate of the output, and what it multiplies: the new state, or its tanh."""
        products = [*self._factors(output)]
        if len(products) == 1 and len(products[0]) == 2:
            for gate, seen in (products[0], products[0][::-1]):
                if gate in self.gates and seen in (self.new, f"{self.new} tanh"):
                    return gate, seen
        raise self._unplaced(output)


def _flat(node: ast.expr, kind: type[ast.operator]) -> Iterator[ast.expr]:
    """The operands of a chain of one operator."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, kind):
        yield from _flat(node.left, kind)
        yield from _flat(node.right, kind)
    else:
        yield node


def _value(node: ast.expr, error: ConfigError) -> str:
    """An expression as a value, in which operators follow their operands."""
    match node:
        case ast.Name(name):
            return name.replace("_", "'")
        case ast.Constant(number):
            return str(number)
        case ast.BinOp(left, ast.Sub(), right):
            return f"{_value(left, error)} {_value(right, error)} -"
        case ast.Call(ast.Name(function), [argument]):
            return f"{_value(argument, error)} {function}"
    raise error


def _gate_of(factor: str) -> str:
    """The letter of a factor such as f, or of 1 - f."""
    match = re.fullmatch(r"1 (\S+) -", factor)
    return match[1] if match else factor


def _written(node: ast.expr) -> str:
    return ast.unparse(node).replace(" * ", " ").replace("_", "'")
