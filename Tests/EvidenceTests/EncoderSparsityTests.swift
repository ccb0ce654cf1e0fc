import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

/// The encoder's part of the essential-sparsity experiment.
@Suite struct EncoderSparsityTests {
    /// A text of words of three letters, the same for all collections but for the first letters.
    private static func texts() -> LetterTexts {
        let names = ["one", "two", "three"]
        return LetterTexts(
            names.indices.map { number in
                let words = (0..<2_000).map { ["abc", "bca", "cab", "aab"][($0 * 7919 + number) % 97 % 4] }
                return (names[number], LetterTexts.tokens([words.joined(separator: " ")]))
            }, limit: 8_000)
    }

    private static func size() -> EncoderSize {
        var size = EncoderSize()
        (size.width, size.heads, size.layers, size.context) = (8, 2, 1, 8)
        (size.pretrainingSteps, size.pretrainingBatch, size.checkpoints, size.heldOutWindows) = (8, 4, 2, 16)
        (size.tuningSteps, size.tuningBatch, size.controlSteps) = (2, 4, 3)
        (size.tuningPassages, size.testPassages) = (32, 32)
        size.lessData = 0.25
        return size
    }

    @Test func onlyLettersAreLeft() {
        func text(_ documents: [String]) -> String {
            String(
                LetterTexts.tokens(documents).map { token -> Character in
                    token == LetterTexts.space
                        ? "_" : Character(Unicode.Scalar(UInt8(97 + token - LetterTexts.firstLetter)))
                })
        }
        #expect(text(["Don't <unk> stop,\n at 12 é Zoë[@{!"]) == "_don_t_stop_at_zo_")
        #expect(text(["a", "b<un"]) == "_a_b_un")
        #expect(text(["a<unk>b"]) == "_ab")
    }

    @Test func partsOfTextsAreApart() {
        let texts = LetterTexts([("a", Array(0..<2_000)), ("b", Array(0..<1_500))], limit: 1_000)
        for collection in texts.collections {
            #expect(collection.pretraining == Array(0..<800))
            #expect(collection.tuning == Array(800..<900) && collection.heldOut == Array(900..<1_000))
        }
    }

    @Test func gapsAreAskedForAndNothingElse() {
        // A text in which the place says the letter.
        let text = (0..<4_000).map { LetterTexts.firstLetter + $0 % 26 }
        let source = MaskedLetters(texts: [text], length: 20, batchSize: 200, seed: 5)
        let batch = source.batch(at: 3)
        let (inputs, targets) = (batch.inputs.integers(), batch.targets.integers())
        var (asked, hidden, same) = (0, 0, 0)
        for row in 0..<200 {
            // The offset that explains most places of the row.
            let offsets = (0..<20).filter { targets[row * 20 + $0] < 0 }.map { (inputs[row * 20 + $0] - $0 + 52) % 26 }
            #expect(Set(offsets).count == 1)
            for place in 0..<20 where targets[row * 20 + place] >= 0 {
                let own = LetterTexts.firstLetter + (offsets[0] - LetterTexts.firstLetter + place + 26) % 26
                #expect(targets[row * 20 + place] == own)
                asked += 1
                if inputs[row * 20 + place] == LetterTexts.mask { hidden += 1 }
                if inputs[row * 20 + place] == own { same += 1 }
            }
        }
        #expect((520...680).contains(asked))
        #expect((0.74...0.86).contains(Double(hidden) / Double(asked)))
        #expect((0.06...0.16).contains(Double(same) / Double(asked)))
        #expect(source.batch(at: 3).inputs.integers() == inputs && source.batch(at: 4).inputs.integers() != inputs)
    }

    @Test func passagesSayWhetherTheyBeginAWord() {
        // Words are "xyz": a passage that begins one has x behind the gap, another y or z.
        let text = LetterTexts.tokens([String(repeating: "xyz ", count: 500)])
        let (inputs, targets) = EncoderTask.passages(of: [text, text], 100, Self.size(), seed: 2)
        let (tokens, classes) = (inputs.integers(), targets.integers())
        #expect(inputs.shape == [100, 8] && classes.reduce(0, +) == 50)
        for (index, own) in classes.enumerated() {
            #expect(tokens[index * 8] == LetterTexts.mask)
            let second = tokens[index * 8 + 1]
            #expect((second == LetterTexts.firstLetter + 23) == (own == 1) && second != LetterTexts.space)
        }
    }

    /// Weights that do not move make iterative masks those of one shot, level by level.
    @Test func withoutLearningIterativeMasksAreOneShotMasks() throws {
        var size = Self.size()
        size.tuningRate = 0
        let texts = Self.texts()
        let measured = try EncoderSparsityMeasurement(
            texts: texts, size: size, [EncoderTrial(texts, size: size, seed: 3) {}])
        let trial = measured.trials[0]
        let magnitude = try #require(trial.tuned.series.first { $0.label == "magnitude-global" })
        #expect(trial.iterative.count == 9)
        for (level, point) in zip(trial.iterative, magnitude.points.dropFirst()) {
            #expect(level.agreement.cosine == 1 && level.agreement.keptByFirst < level.agreement.count)
            #expect(abs(level.error - point.loss) < 1e-12)
        }
        let agreement = try #require(measured.claims.first { $0.id == "lottery-ticket-agreement" })
        #expect(agreement.verdict == .holds, "\(agreement.here)")
        // Sparsities are those asked for, and masks differ by method.
        #expect(magnitude.points.map { ($0.sparsity * 10).rounded() } == (0...9).map(Double.init))
        #expect(trial.tuned.series.count == 7 && trial.fresh.series.count == 2)
    }

    @Test func everyClaimIsJudgedAndRunsRepeat() throws {
        func run(_ seeds: [UInt64]) throws -> EncoderSparsityMeasurement {
            let (texts, size) = (Self.texts(), Self.size())
            return try EncoderSparsityMeasurement(
                texts: texts, size: size, seeds.map { try EncoderTrial(texts, size: size, seed: $0) {} })
        }
        let measured = try run([1, 2])
        #expect(measured.claims.count == 9 && measured.claims.allSatisfy { $0.verdict != .notMeasured })
        #expect(Set(measured.claims.map(\.id)).count == 9)
        #expect(measured.tables.count == 7 && measured.illustrations.count == 4)
        for table in measured.tables {
            #expect(table.table.rows.allSatisfy { $0.count == table.table.head.count }, "\(table.title)")
        }
        let seeds = try #require(measured.json["seeds"]?.arrayValue)
        #expect(seeds.count == 2)
        #expect(try run([2]).json["seeds"]?[0]?.serialized() == seeds[1].serialized())
        let course = try #require(seeds[0]["pretrainings"]?["masked letters"]?["checkpoints"]?.arrayValue)
        #expect(course.compactMap { $0["step"]?.intValue } == [0, 1, 8])
        #expect(course[1]["tolerance_point"]?.doubleValue == nil)
        let (first, last) = (course[0]["near_zero"], course[2]["near_zero"])
        #expect(first?["fixed"]?.serialized() == first?["relative"]?.serialized())
        #expect(last?["fixed"]?.serialized() != last?["relative"]?.serialized())
        // Pre-trainings differ from each other and by seed.
        let ends = seeds.flatMap { seed in
            [
                "masked letters", "masked letters, weight decay 0.1", "masked letters, less data",
                "collections, supervised",
            ]
            .map { seed["pretrainings"]?[$0]?["checkpoints"]?[2]?["near_zero"]?.serialized() ?? "" }
        }
        #expect(Set(ends).count > 4)
    }
}
