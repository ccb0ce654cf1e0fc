import CKernels
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Testing

@Suite("The inference forward pass", .serialized)
struct LanguageModelTests {
    @Test("Logits equal transformers' within 2e-3", arguments: Fixtures.models)
    func parity(model name: String) throws {
        let model = try LanguageModel(Checkpoint.open(Fixtures.path(name)))
        let (ids, expected, _) = try Fixtures.reference(name)
        let found = try model.logits(ids, chunks: [ids.count])
        #expect(largestDifference(found, expected) < 2e-3)
    }

    @Test("In every kernel variant", arguments: Fixtures.models)
    func variants(model name: String) throws {
        let model = try LanguageModel(Checkpoint.open(Fixtures.path(name)))
        let (ids, expected, _) = try Fixtures.reference(name)
        let usual = coppice_cpu_level_in_use()
        defer { coppice_set_cpu_level(usual) }
        for level in [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512] {
            coppice_set_cpu_level(level)
            #expect(largestDifference(try model.logits(ids, chunks: [ids.count]), expected) < 2e-3, "level \(level)")
        }
    }

    @Test("Greedy text equals transformers'", arguments: Fixtures.models)
    func greedy(model name: String) throws {
        let model = try LanguageModel(Checkpoint.open(Fixtures.path(name)))
        let (ids, _, generated) = try Fixtures.reference(name)
        guard let generated else { return }
        let generator = TextGenerator(model, tokenizer: ByteTokenizer(vocabularySize: model.vocabularySize))
        let result = try generator.generate(
            GenerationRequest(
                promptTokens: Array(ids.prefix(8)), maximumTokens: generated.count, sampling: .greedy,
                ignoresEndToken: true))
        #expect(result.tokens == generated)
        #expect(result.finishReason == .length)
    }

    @Test("A prompt in chunks, and token by token, gives what it gives in one piece", arguments: Fixtures.models)
    func chunks(model name: String) throws {
        let model = try LanguageModel(Checkpoint.open(Fixtures.path(name)))
        let (ids, _, _) = try Fixtures.reference(name)
        let whole = try model.logits(ids, chunks: [ids.count])
        for size in [1, 5, 13] {
            let parts = try model.logits(ids, chunks: Array(repeating: size, count: ids.count))
            #expect(largestDifference(parts, whole) < 1e-4, "chunks of \(size)")
        }
    }

    @Test("Texts in one batch, prompts beside decoding steps, get what each gets alone")
    func batch() throws {
        let model = try LanguageModel.random { $0.slidingWindow = 20 }
        let texts = (0..<5).map { text in (0..<(70 - 11 * text)).map { ($0 * 7 + text * 13) % 96 } }
        let alone = try texts.map { try model.logits($0, chunks: [$0.count]) }
        let cache = model.makeCache(capacity: 5 * 128)
        for text in texts.indices { try cache.add(SequenceID(text), reserving: texts[text].count) }
        var found = texts.map { _ in [[Float]]() }
        var round = 0
        while zip(found, texts).contains(where: { $0.count < $1.count }) {
            var rows: [Row] = [], tokens: [Int] = []
            for (text, ids) in texts.enumerated() where found[text].count < ids.count {
                let start = found[text].count
                // Some take one token a pass, some a chunk, and not all take part in every pass.
                if (round + text) % 3 == 0 && rows.count > 0 { continue }
                let count = min(text.isMultiple(of: 2) ? 1 : 9 + text, ids.count - start)
                rows.append(Row(sequence: SequenceID(text), start: start, count: count))
                tokens += ids[start..<start + count]
            }
            let logits = try model.forward(rows, tokens: tokens, cache: cache, logits: .all).copy()
            var next = 0
            for row in rows {
                found[row.sequence.rawValue] += logits[next..<next + row.count]
                next += row.count
            }
            round += 1
        }
        for text in texts.indices { #expect(largestDifference(found[text], alone[text]) < 1e-4) }
    }

    @Test("The number of threads does not change a bit")
    func threads() throws {
        let model = try LanguageModel.random(context: 512) {
            $0.hiddenSize = 64; $0.headCount = 8; $0.headSize = 16
        }
        let tokens = (0..<300).map { $0 * 31 % 96 }
        let usual = coppice_thread_count()
        defer { coppice_set_thread_count(usual) }
        var results: [[[Float]]] = []
        for threads in [1, 2, 3, 5] {
            coppice_set_thread_count(Int32(threads))
            results.append(try model.logits(tokens, chunks: [257, 1, 1, 41]))
        }
        for result in results.dropFirst() { #expect(result == results[0]) }
    }

    @Test("A sliding window longer than the text changes nothing; a short one does")
    func window() throws {
        let tokens = (0..<150).map { $0 * 17 % 96 }
        let full = try LanguageModel.random().logits(tokens, chunks: [150])
        let wide = try LanguageModel.random { $0.slidingWindow = 150 }.logits(tokens, chunks: [64, 86])
        let narrow = try LanguageModel.random { $0.slidingWindow = 100 }.logits(tokens, chunks: [150])
        #expect(largestDifference(full, wide) < 1e-4)
        #expect(largestDifference(Array(full[..<100]), Array(narrow[..<100])) < 1e-4)
        #expect(largestDifference(full[149], narrow[149]) > 1e-3)
    }

    @Test("Asked logits are those of the tokens asked for")
    func selection() throws {
        let model = try LanguageModel.random()
        let texts = [(0..<20).map { $0 * 5 % 96 }, (0..<9).map { $0 * 11 % 96 }]
        let all = try texts.flatMap { try model.logits($0, chunks: [$0.count]) }
        func chosen(_ selection: LogitSelection) throws -> [[Float]] {
            let cache = model.makeCache(capacity: 128)
            var rows: [Row] = []
            for (index, text) in texts.enumerated() {
                try cache.add(SequenceID(index), reserving: text.count)
                rows.append(Row(sequence: SequenceID(index), start: 0, count: text.count))
            }
            return try model.forward(rows, tokens: texts.flatMap { $0 }, cache: cache, logits: selection).copy()
        }
        #expect(try chosen(.none).isEmpty)
        #expect(largestDifference(try chosen(.all), all) < 1e-4)
        #expect(largestDifference(try chosen(.lastOfEachRow), [all[19], all[28]]) < 1e-4)
        #expect(largestDifference(try chosen(.tokens([0, 7, 21])), [all[0], all[7], all[21]]) < 1e-4)
    }

    @Test("Half-precision caches stay close, and reuse of freed blocks leaves no trace")
    func cache() throws {
        let model = try LanguageModel.random()
        let tokens = (0..<130).map { $0 * 29 % 96 }
        let exact = try model.logits(tokens, chunks: [130])
        #expect(largestDifference(try model.logits(tokens, chunks: [65, 65], element: .f16), exact) < 0.02)
        #expect(largestDifference(try model.logits(tokens, chunks: [65, 65], element: .bf16), exact) < 0.15)

        let cache = model.makeCache(capacity: 256)
        var bytes = 0
        for round in 0..<3 {
            try cache.add(SequenceID(round), reserving: 130)
            let logits = try model.forward(
                [Row(sequence: SequenceID(round), start: 0, count: 130)], tokens: tokens, cache: cache
            ).copy()
            #expect(largestDifference(logits[0], exact[129]) < 1e-4)
            cache.remove(SequenceID(round))
            if round == 0 { bytes = cache.byteCount }
            #expect(cache.byteCount == bytes && cache.freePositions == 256 && cache.usedPositions == 0)
        }
    }

    @Test("A truncated text goes on as if the rest had never been")
    func truncation() throws {
        let model = try LanguageModel.random()
        let tokens = (0..<140).map { $0 * 3 % 96 }
        let cache = model.makeCache(capacity: 192)
        try cache.add(SequenceID(0), reserving: 140)
        _ = try model.forward(
            [Row(sequence: SequenceID(0), start: 0, count: 140)], tokens: tokens.reversed(), cache: cache, logits: .none
        )
        cache.truncate(SequenceID(0), to: 0)
        _ = try model.forward(
            [Row(sequence: SequenceID(0), start: 0, count: 100)], tokens: Array(tokens[..<100]), cache: cache)
        cache.truncate(SequenceID(0), to: 60)
        #expect(cache.length(of: SequenceID(0)) == 60)
        let logits = try model.forward(
            [Row(sequence: SequenceID(0), start: 60, count: 80)], tokens: Array(tokens[60...]), cache: cache
        ).copy()
        #expect(largestDifference(logits[0], try model.logits(tokens, chunks: [140])[139]) < 1e-4)
    }

    @Test("Wrong tokens, texts beyond the context and full caches are refused")
    func refusals() throws {
        let model = try LanguageModel.random(context: 100)
        let cache = model.makeCache(capacity: 128)
        try cache.add(SequenceID(0), reserving: 128)
        let row = Row(sequence: SequenceID(0), start: 0, count: 1)
        for token in [-1, 96] {
            let error = #expect(throws: CoppiceError.self) { try model.forward([row], tokens: [token], cache: cache) }
            #expect(error?.kind == .badData && error?.description.contains("\(token)") == true)
        }
        let long = Row(sequence: SequenceID(0), start: 0, count: 101)
        let error = #expect(throws: CoppiceError.self) {
            try model.forward([long], tokens: Array(repeating: 1, count: 101), cache: cache)
        }
        #expect(error?.kind == .usage && error?.description.contains("context of 100") == true)
        let full = #expect(throws: CoppiceError.self) { try cache.add(SequenceID(1), reserving: 1) }
        #expect(full?.kind == .unavailable)
        #expect(cache.length(of: SequenceID(0)) == 0)
    }

    @Test("Weights that are not numbers are found by name")
    func nonFinite() throws {
        let model = try LanguageModel.random()
        var weights = RandomWeights(model.configuration)
        let name = "model.layers.1.mlp.down_proj.weight"
        var values = try #require(weights.tensors[name]).floats()
        values[5] = .nan
        weights.tensors[name] = Tensor(values, shape: [32, 72])
        let broken = try LanguageModel(model.configuration, weights: weights, source: "broken")
        let generator = TextGenerator(broken, tokenizer: ByteTokenizer(vocabularySize: 96))
        let error = #expect(throws: CoppiceError.self) {
            try generator.generate(GenerationRequest(promptTokens: [1, 2], maximumTokens: 4))
        }
        #expect(error?.kind == .badData && error?.source == "broken" && error?.field == name)

        weights.tensors["model.norm.weight"] = Tensor([Float](repeating: .infinity, count: 32))
        let vector = #expect(throws: CoppiceError.self) { try LanguageModel(model.configuration, weights: weights) }
        #expect(vector?.field == "model.norm.weight")
    }

    @Test("A weight of the wrong shape is named with both shapes")
    func shapes() throws {
        let model = try LanguageModel.random()
        var weights = RandomWeights(model.configuration)
        weights.tensors["model.layers.0.self_attn.k_proj.weight"] = Tensor(
            [Float](repeating: 0, count: 64), shape: [2, 32])
        let error = #expect(throws: CoppiceError.self) { try LanguageModel(model.configuration, weights: weights) }
        #expect(error?.field == "model.layers.0.self_attn.k_proj.weight")
        #expect(error?.message == "expected shape [16, 32], found [2, 32]")
    }
}
