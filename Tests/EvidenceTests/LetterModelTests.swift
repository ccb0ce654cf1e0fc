import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

/// The language model's part of the essential-sparsity experiment.
@Suite struct LetterModelTests {
    private typealias Kind = LetterModelTrial.Kind

    private static func size() -> LetterModelSize {
        var size = LetterModelSize()
        (size.width, size.heads, size.layers, size.intermediate, size.context) = (16, 2, 1, 24, 8)
        (size.steps, size.batch, size.checkpoints, size.heldOutWindows) = (60, 8, 4, 64)
        size.rate = 2e-2
        return size
    }

    /// The alphabet over and over: each letter says the next.
    private static func texts() -> LetterTexts {
        let letters = (0..<3_000).map { LetterTexts.firstLetter + $0 % 26 }
        return LetterTexts([("a", letters), ("b", letters)], limit: 3_000)
    }

    @Test func windowsAskForTheNextLetter() {
        let texts = [(0..<500).map { $0 }, (1_000..<1_500).map { $0 }]
        let source = NextLetters(texts: texts, length: 6, batchSize: 10, seed: 4)
        let batch = source.batch(at: 2)
        let (inputs, targets) = (batch.inputs.integers(), batch.targets.integers())
        #expect(batch.inputs.shape == [10, 6] && targets == inputs.map { $0 + 1 })
        // Texts take turns, and windows are of one text each.
        for row in 0..<10 {
            let window = inputs[(row * 6)..<(row * 6 + 6)]
            #expect(texts[row % 2].contains(window.first ?? -1) && (window.last ?? 0) - (window.first ?? 0) == 5)
        }
        #expect(source.batch(at: 2).inputs.integers() == inputs && source.batch(at: 3).inputs.integers() != inputs)
    }

    private func verdicts(
        magnitude: [Double], random: [Double], randomErdosRenyi: [Double], shares: [Kind: [Double]]
    ) throws -> [Claim.Verdict] {
        let tenths = (0...9).map { Double($0) / 10 }
        let trials = try [UInt64(1), 2].map { seed in
            LetterModelTrial(
                seed: seed,
                checkpoints: shares.mapValues { course in
                    course.enumerated().map { step, share in
                        PretrainingCheckpoint(
                            step: step, nearZero: .init(fixed: [0, share / 10, share], relative: [0, 0, 0]))
                    }
                },
                sweeps: [
                    .plain: try SparsityReport.curves(
                        [
                            ("magnitude-global", tenths, magnitude), ("random-global", tenths, random),
                            ("random-erk", tenths, randomErdosRenyi),
                        ], chanceLoss: 3.37, tolerancePoint: 0.4)
                ])
        }
        let ids = [
            "language-model-sharp-drop", "language-model-magnitude-beats-random", "language-model-near-zero",
            "language-model-abrupt",
        ]
        let claims = try LetterModelMeasurement(size: LetterModelSize(), trials).claims
        #expect(claims.map(\.id) == ids)
        return claims.map(\.verdict)
    }

    @Test func claimsFollowFromNumbers() throws {
        let sharp: [Double] = (0...9).map { place in
            let (here, beyond) = (Double(place), Double(max(0, place - 5)))
            return 2 + 0.02 * here + 0.3 * beyond
        }
        let worse: [Double] = sharp.enumerated().map { place, loss in place > 1 ? loss + 0.2 : loss - 0.1 }
        let jump = [0.08, 0.081, 0.081, 0.13, 0.131, 0.131]
        let rising: [Kind: [Double]] = [.plain: jump, .decayed: jump]
        let yes = Claim.Verdict.holds, no = Claim.Verdict.doesNotHold
        func found(
            _ magnitude: [Double]? = nil, random: [Double]? = nil, randomErdosRenyi: [Double]? = nil,
            shares: [Kind: [Double]]? = nil
        ) throws -> [Claim.Verdict] {
            try verdicts(
                magnitude: magnitude ?? sharp, random: random ?? worse, randomErdosRenyi: randomErdosRenyi ?? worse,
                shares: shares ?? rising)
        }
        #expect(try found() == [yes, yes, yes, yes])
        #expect(try found((0...9).map { 1.5 + 0.02 * Double($0) }) == [no, yes, yes, yes])
        for place in [4, 9] {
            var near = worse
            // At 0.4 a lead of less than 0.1 nats is too small; elsewhere any lead will do.
            near[place] = sharp[place] + 0.05
            #expect(try found(random: near) == [yes, place == 4 ? no : yes, yes, yes])
            near[place] = sharp[place] - 0.01
            #expect(try found(randomErdosRenyi: near) == [yes, no, yes, yes])
        }
        for kind in Kind.allCases {
            var shares = rising
            shares[kind] = [0.08, 0.09, 0.10, 0.11, 0.12, 0.131]
            #expect(try found(shares: shares) == [yes, yes, yes, no])
            shares[kind] = jump.reversed()
            #expect(try found(shares: shares) == [yes, yes, no, no])
        }
    }

    @Test func whatIsLearnedCanBeLostAndRunsRepeat() throws {
        let (texts, size) = (Self.texts(), Self.size())
        func run(_ seeds: [UInt64]) throws -> LetterModelMeasurement {
            try LetterModelMeasurement(
                size: size, seeds.map { try LetterModelTrial(texts, size: size, seed: $0) {} })
        }
        let measured = try run([1, 2])
        #expect(measured.claims.count == 4 && measured.claims.allSatisfy { $0.verdict != .notMeasured })
        #expect(measured.tables.count == 3 && measured.illustrations.count == 2)
        for table in measured.tables {
            #expect(table.table.rows.allSatisfy { $0.count == table.table.head.count }, "\(table.title)")
        }
        let seeds = try #require(measured.json["seeds"]?.arrayValue)
        #expect(try run([2]).json["seeds"]?[0]?.serialized() == seeds[1].serialized())
        for seed in seeds {
            let courses = try Kind.allCases.map {
                try #require(seed["checkpoints"]?[$0.rawValue]?.arrayValue)
            }
            #expect(courses[0].compactMap { $0["step"]?.intValue } == [0, 1, 4, 15, 60])
            #expect(courses[0][0].serialized() == courses[1][0].serialized())
            #expect(courses[0][4]["near_zero"]?.serialized() != courses[1][4]["near_zero"]?.serialized())
            // s_τ at every second checkpoint, from the end backwards.
            let measuredAt = courses[0].indices.filter { courses[0][$0]["tolerance_point"]?.doubleValue != nil }
            #expect(Set(measuredAt).isSubset(of: [2, 4]) && measuredAt.last == 4)
            let curves = try #require(seed["curves"]?[Kind.plain.rawValue]?.arrayValue)
            #expect(
                curves.compactMap { $0["method"]?.stringValue } == [
                    "magnitude-global", "magnitude-layer", "random-global", "random-erk",
                ])
            // Something has been learned, which begins at ln 29 = 3.37.
            #expect(try #require(curves[0]["loss"]?[0]?.doubleValue) < 3)
        }
    }
}
