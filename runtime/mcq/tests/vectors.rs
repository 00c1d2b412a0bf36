//! The error functions against the specification's vectors and on their domains (V1, V6).
#![allow(clippy::unwrap_used)]

use sprig_mcq::{Code, Decimal, Fraction, LARGEST, Operation, Stem, apply, explain, key};

fn fractions(operation: Operation, [a, b, c, d]: [i64; 4]) -> Stem {
    Stem::Fractions { operation, left: Fraction { top: a, bottom: b }, right: Fraction { top: c, bottom: d } }
}

fn decimals(operation: Operation, left: (i64, u32), right: (i64, u32)) -> Stem {
    let decimal = |(digits, places)| Decimal { digits, places };
    Stem::Decimals { operation, left: decimal(left), right: decimal(right) }
}

fn compare(left: (i64, u32), right: (i64, u32)) -> Stem {
    let decimal = |(digits, places)| Decimal { digits, places };
    Stem::Compare { left: decimal(left), right: decimal(right) }
}

/// An error and the answer it leads to.
type Wrong = (Code, &'static str);

/// The vectors of section 6.5: a stem, its right answer, and what each error makes of it.
fn vectors() -> Vec<(Stem, &'static str, Vec<Wrong>)> {
    use Code::*;
    vec![
        (
            Stem::Columns { a: 503, b: 247 },
            "256",
            vec![(Sfl, "344"), (Bnd, "366"), (Znn, "246"), (Sbz, "264")],
        ),
        (
            Stem::Columns { a: 600, b: 123 },
            "477",
            vec![(Sfl, "523"), (Bnd, "587"), (Znn, "523"), (Sbz, "483")],
        ),
        (
            fractions(Operation::Add, [1, 2, 1, 3]),
            "5/6",
            vec![(AddBoth, "2/5"), (LcdKeep, "1/3"), (IgnDen, "2")],
        ),
        (
            fractions(Operation::Divide, [2, 3, 4, 5]),
            "5/6",
            vec![(NoInv, "8/15"), (InvDividend, "6/5"), (InvBoth, "15/8")],
        ),
        (
            Stem::TwoStep { a: 3, b: 6, c: 21 },
            "5",
            vec![(AddSame, "9"), (RevSub, "-5"), (MulDiv2, "45"), (SubCoef2, "12")],
        ),
        (
            Stem::TwoStep { a: -4, b: 6, c: 26 },
            "-5",
            vec![(AddSame, "-8"), (DropNeg, "5"), (MulDiv2, "-80"), (SubCoef2, "24")],
        ),
        (
            Stem::Order { a: 5, b: 3, c: 4, d: Some(2) },
            "15",
            vec![(Ltr, "30"), (SubFirst, "11"), (BothFirst, "16")],
        ),
        (
            Stem::PercentOfWhat { p: 25, n: 30 },
            "120",
            vec![(PTimesN, "15/2"), (DivNoPct, "6/5"), (AddPct, "75/2")],
        ),
    ]
}

/// The codes that the vectors leave out, on the examples of the table and of the misconceptions' published items.
fn examples() -> Vec<(Code, Stem, &'static str, &'static str)> {
    use Code::*;
    use Operation::{Add, Divide, Multiply, Subtract};
    let two_thirds = Fraction { top: 2, bottom: 3 };
    vec![
        (SubBoth, fractions(Subtract, [4, 5, 1, 3]), "7/15", "3/2"),
        (KeepDen, fractions(Multiply, [2, 5, 3, 5]), "6/25", "6/5"),
        (ScaleBoth, Stem::Scale { fraction: two_thirds, n: 3 }, "2", "6/9"),
        (HalfSimp, Stem::Simplify { lowest: Fraction { top: 3, bottom: 4 }, k: 2 }, "3/4", "3/8"),
        (HalfSimp, Stem::Simplify { lowest: two_thirds, k: 2 }, "2/3", "2/6"),
        (Longer, compare((4, 2), (5, 1)), "<", ">"),
        (Longer, compare((9, 1), (1, 2)), ">", "<"),
        (DecJoin, decimals(Add, (5, 1), (7, 1)), "1.2", "0.12"),
        (DecBring, decimals(Subtract, (60, 0), (135, 2)), "58.65", "59.35"),
        (DecBring, decimals(Subtract, (87, 0), (31, 2)), "86.69", "87.31"),
        (DecLeft, decimals(Multiply, (32, 1), (4, 0)), "12.8", "1.28"),
        (DecLeft, decimals(Multiply, (67, 1), (3, 0)), "20.1", "2.01"),
        (DecLeft, decimals(Multiply, (4, 1), (2, 0)), "0.8", "8"),
        (SignAdd, Stem::Signed { operation: Add, a: -8, b: 6 }, "-2", "2"),
        (SignDiv, Stem::Signed { operation: Divide, a: 8, b: -2 }, "-4", "4"),
        (SignDiv, Stem::Signed { operation: Multiply, a: -8, b: 2 }, "-16", "16"),
        (Ltr, Stem::Order { a: 5, b: 6, c: 10, d: None }, "65", "110"),
        (SubNeg, Stem::TwoStep { a: 3, b: -6, c: 21 }, "9", "5"),
        (RevSub, Stem::TwoStep { a: 13, b: 196, c: 391 }, "15", "-15"),
        (MulDiv, Stem::Times { a: 3, c: 12 }, "4", "36"),
        (DivMul, Stem::Over { a: 3, c: 12 }, "36", "4"),
        (SubCoef, Stem::Times { a: 3, c: 12 }, "4", "9"),
        (PartWhole, Stem::PercentOf { p: 88, n: 50 }, "44", "625/11"),
        (NoMid, Stem::SquareOfDifference { a: 4 }, "x^2-8x+16", "x^2-16"),
        (Switch, Stem::LessThan { a: 3 }, "x-3", "-x+3"),
        (ConstMul, Stem::ConstantDifference { p: 9, q: 3, m: 15 }, "21", "45"),
    ]
}

#[test]
fn the_functions_make_the_vectors_of_the_specification() {
    for (stem, right, wrong) in vectors() {
        assert_eq!(key(&stem).unwrap().render(), right, "{stem}");
        for (code, answer) in wrong {
            assert_eq!(apply(code, &stem).unwrap().render(), answer, "{code} of {stem}");
            assert!(explain(&stem, &apply(code, &stem).unwrap()).contains(&code));
        }
    }
    for (code, stem, right, wrong) in examples() {
        assert_eq!(
            (key(&stem).unwrap().render(), apply(code, &stem).unwrap().render()),
            (right.into(), wrong.into())
        );
    }
}

#[test]
fn every_code_has_a_vector() {
    let mut seen: Vec<Code> =
        vectors().into_iter().flat_map(|(.., wrong)| wrong).map(|(code, _)| code).collect();
    seen.extend(examples().into_iter().map(|(code, ..)| code));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, Code::ALL);
}

/// Which stems are in the domain of a code, told apart from the functions themselves.
fn is_in_domain(code: Code, stem: &Stem) -> bool {
    use Code::*;
    use Operation::{Add, Divide, Multiply, Subtract};
    match (code, *stem) {
        (Sfl | Bnd | Znn | Sbz, Stem::Columns { .. })
        | (AddBoth | LcdKeep | IgnDen, Stem::Fractions { operation: Add, .. })
        | (NoInv, Stem::Fractions { operation: Divide, .. })
        | (ScaleBoth, Stem::Scale { .. })
        | (HalfSimp, Stem::Simplify { .. })
        | (Ltr, Stem::Order { .. })
        | (SubFirst | BothFirst, Stem::Order { d: Some(_), .. })
        | (RevSub | MulDiv2 | SubCoef2, Stem::TwoStep { .. })
        | (MulDiv | SubCoef, Stem::Times { .. })
        | (DivMul, Stem::Over { .. })
        | (PTimesN | DivNoPct | AddPct, Stem::PercentOfWhat { .. })
        | (PartWhole, Stem::PercentOf { .. })
        | (NoMid, Stem::SquareOfDifference { .. })
        | (Switch, Stem::LessThan { .. })
        | (ConstMul, Stem::ConstantDifference { .. }) => true,
        (InvDividend | InvBoth, Stem::Fractions { operation: Divide, left, .. }) => left.top != 0,
        (SubBoth, Stem::Fractions { operation: Subtract, left, right }) => left.bottom != right.bottom,
        (KeepDen, Stem::Fractions { operation: Multiply, left, right }) => left.bottom == right.bottom,
        (AddSame, Stem::TwoStep { b, .. }) => b > 0,
        (SubNeg, Stem::TwoStep { b, .. }) => b < 0,
        (DropNeg, Stem::TwoStep { a, .. }) => a < 0,
        (SignAdd, Stem::Signed { operation: Add, a, b }) => a < 0 && b > 0,
        (SignDiv, Stem::Signed { operation: Multiply | Divide, a, b }) => a.signum() * b.signum() < 0,
        (Longer, Stem::Compare { left, right }) => {
            let length = |d: Decimal| d.to_string().bytes().filter(u8::is_ascii_digit).count();
            length(left) != length(right)
        }
        (DecJoin, Stem::Decimals { operation: Add, left, right }) => {
            [left, right].iter().all(|d| d.places == 1 && d.digits < 10) && left.digits + right.digits > 9
        }
        (DecBring, Stem::Decimals { operation: Subtract, left, right }) => {
            left.places == 0
                && right.places == 2
                && right.digits % 100 > 0
                && left.digits > right.digits / 100
        }
        (DecLeft, Stem::Decimals { operation: Multiply, left, right }) => {
            left.places == 1 && right.places == 0 && left.digits > 0 && right.digits > 0
        }
        _ => false,
    }
}

/// Stems of every kind: all that these values make, the ends of the ranges and what lies beyond among them.
fn stems() -> Vec<Stem> {
    let values = [-LARGEST - 1, -LARGEST, -7, -1, 0, 1, 2, 3, 10, 45, 100, 999, LARGEST, LARGEST + 1];
    let few = [-4, 0, 1, 3, 12, LARGEST];
    let operations = [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Divide];
    let mut stems = Vec::new();
    for a in values {
        stems.extend([Stem::SquareOfDifference { a }, Stem::LessThan { a }]);
        for b in values {
            stems.extend([
                Stem::Columns { a, b },
                Stem::Times { a, c: b },
                Stem::Over { a, c: b },
                Stem::PercentOf { p: a, n: b },
                Stem::PercentOfWhat { p: a, n: b },
                Stem::Order { a, b, c: 4, d: None },
            ]);
            stems.extend(operations.map(|operation| Stem::Signed { operation, a, b }));
            for c in values {
                stems.extend([
                    Stem::TwoStep { a, b, c },
                    Stem::Order { a, b, c, d: Some(5) },
                    Stem::ConstantDifference { p: a, q: b, m: c },
                    Stem::Scale { fraction: Fraction { top: a, bottom: b }, n: c },
                    Stem::Simplify { lowest: Fraction { top: a, bottom: b }, k: c },
                ]);
            }
        }
    }
    let decimals =
        few.into_iter().chain([7, 77]).flat_map(|digits| [0, 1, 2, 6, 7].map(|places| (digits, places)));
    let decimals: Vec<(i64, u32)> = decimals.collect();
    for &left in &decimals {
        for &right in &decimals {
            stems.push(compare(left, right));
            stems.extend(operations.map(|operation| self::decimals(operation, left, right)));
        }
    }
    for a in few {
        for b in few {
            for c in few {
                for d in few {
                    stems.extend(operations.map(|operation| fractions(operation, [a, b, c, d])));
                }
            }
        }
    }
    stems
}

#[test]
fn every_function_is_total_on_its_domain_and_an_error_elsewhere() {
    let mut inside = std::collections::HashMap::new();
    for stem in stems() {
        for code in Code::ALL {
            let found = apply(code, &stem);
            let expected = stem.check().is_ok() && is_in_domain(code, &stem);
            assert_eq!(found.is_ok(), expected, "{code} of {stem}: {found:?}");
            assert_eq!(found, apply(code, &stem), "{code} is pure");
            *inside.entry((code, expected)).or_insert(0) += 1;
            if let (Err(refusal), true) = (found, stem.check().is_ok()) {
                assert_eq!((refusal.what, refusal.stem), (code.name(), stem.to_string()));
            }
        }
    }
    for code in Code::ALL {
        assert!(inside.contains_key(&(code, true)) && inside.contains_key(&(code, false)), "{code}");
    }
}

#[test]
fn a_refusal_names_the_code_the_stem_and_what_it_needs() {
    let refusal = apply(Code::AddSame, &Stem::TwoStep { a: 3, b: -6, c: 21 }).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "ADDSAME is not defined on \"3x - 6 = 21\"; give it an equation ax + b = c with b above 0"
    );
}

/// V6: why no family may use both.
#[test]
fn dropneg_is_revsub_wherever_it_is_defined() {
    for a in -60..0 {
        for b in (-40..=40).filter(|b| *b != 0) {
            for c in -200..200 {
                let stem = Stem::TwoStep { a, b, c };
                assert_eq!(
                    apply(Code::DropNeg, &stem).unwrap(),
                    apply(Code::RevSub, &stem).unwrap(),
                    "{stem}"
                );
            }
        }
    }
    for family in sprig_mcq::Family::ALL {
        assert!(![Code::DropNeg, Code::RevSub].iter().all(|code| family.codes().contains(code)));
    }
}

/// Subtraction done the usual way is right on every pair: what the column errors leave out is all that is wrong.
#[test]
fn column_errors_are_right_where_nothing_is_borrowed() {
    for (a, b) in [(987, 654), (1_000_000, 1_000_000 - 1_000_000), (55, 5), (999_999, 111_111)] {
        for code in [Code::Sfl, Code::Bnd, Code::Znn, Code::Sbz] {
            let stem = Stem::Columns { a, b };
            assert_eq!(apply(code, &stem).unwrap(), key(&stem).unwrap(), "{code} of {stem}");
        }
    }
}
