import CKernels
import CoppiceFormats
import CoppiceModels
import CoppiceTensors

extension LanguageModel {
    /// Computes a batch of rows, each a chunk of a prompt or a decoding step, of different sequences.
    ///
    /// The cache gains the rows' keys and values. A token's logits depend on its own sequence alone; they are the same
    /// up to rounding whatever else is in the batch and however its prompt was cut, and the same bits for any number
    /// of threads. Buffers are those of the cache: a pass of a size seen before allocates none.
    ///
    /// - Parameters:
    ///   - rows: each continues its sequence where the cache ends; at most one a sequence.
    ///   - tokens: those of all rows, one row after the other.
    ///   - selection: the tokens whose logits are computed.
    /// - Returns: logits in order of the tokens, valid until the next pass over this cache.
    /// - Throws: `badData` for a token outside the vocabulary, `usage` beyond ``maximumContext``, `unavailable` where
    ///   the cache is full. The cache is then as before.
    public func forward(
        _ rows: [Row], tokens: [Int], cache: KeyValueCache, logits selection: LogitSelection = .lastOfEachRow
    ) throws -> Logits {
        let limit = cache.window == nil ? maximumContext : Int(Int32.max)
        let total = try tokens.withUnsafeBufferPointer { try check(rows, $0, limit: limit) }
        let workspace = cache.workspace
        let pass = try Pass(rows, count: total, model: self, cache: cache)

        let hiddenSize = configuration.hiddenSize
        for (index, token) in tokens.enumerated() {
            weights.embedding.copyRow(token, into: pass.hidden + index * hiddenSize)
        }
        select(selection, rows, total, into: &workspace.selection)
        let layerCount = weights.layers.count
        for layer in 0..<layerCount {
            let isLast = layer == layerCount - 1
            run(layer, pass, narrowingTo: isLast ? workspace.selection : nil)
        }
        if layerCount == 0 { pass.keep(workspace.selection, of: pass.hidden, width: hiddenSize) }
        for row in rows { cache.complete(row) }
        return head(pass, count: workspace.selection.count, cache)
    }

    private func check(_ rows: [Row], _ tokens: UnsafeBufferPointer<Int>, limit: Int) throws -> Int {
        var total = 0
        for row in rows {
            precondition(row.count > 0 && row.start >= 0, "\(row.sequence) has an empty row")
            guard row.start + row.count <= limit else {
                throw CoppiceError(
                    .usage, source: source, field: "prompt",
                    "\(row.start + row.count) tokens do not fit the model's context of \(limit)")
            }
            total += row.count
        }
        precondition(total == tokens.count, "rows of \(total) tokens together, \(tokens.count) given")
        for token in tokens where token < 0 || token >= vocabularySize {
            throw CoppiceError(
                .badData, source: source, field: "tokens",
                "token id \(token) is outside the vocabulary of \(vocabularySize)")
        }
        return total
    }

    private func select(_ selection: LogitSelection, _ rows: [Row], _ total: Int, into indices: inout [Int]) {
        indices.removeAll(keepingCapacity: true)
        switch selection {
        case .none: break
        case .all: indices.append(contentsOf: 0..<total)
        case .tokens(let chosen):
            precondition(chosen.allSatisfy { $0 >= 0 && $0 < total }, "logits are asked of a token outside the pass")
            precondition(zip(chosen, chosen.dropFirst()).allSatisfy { $0 < $1 }, "selected tokens must ascend")
            indices.append(contentsOf: chosen)
        case .lastOfEachRow:
            var end = 0
            for row in rows {
                end += row.count
                indices.append(end - 1)
            }
        }
    }

    private func run(_ index: Int, _ pass: Pass, narrowingTo selection: [Int]?) {
        let layer = weights.layers[index], precision = execution.activations
        if let attention = layer.attention { attend(attention, index, pass) }
        var count = pass.count
        if let selection {
            // After the last attention only tokens whose logits are asked for matter.
            pass.keep(selection, of: pass.hidden, width: configuration.hiddenSize)
            if layer.attention != nil {
                pass.keep(selection, of: pass.attended, width: configuration.headCount * configuration.headSize)
            }
            count = selection.count
        }
        guard count > 0 else { return }
        layer.attention?.output.add(
            pass.attended, through: pass.normalized, to: pass.hidden, count: count, precision: precision)
        guard let feedForward = layer.feedForward else { return }
        normalize(pass.hidden, by: feedForward.norm, into: pass.normalized, count: count)
        feedForward.expansion.gate(pass.normalized, into: pass.gate, pass.up, count: count, precision: precision)
        feedForward.down.add(pass.gate, through: pass.normalized, to: pass.hidden, count: count, precision: precision)
    }

    private func attend(_ layer: AttentionWeights, _ index: Int, _ pass: Pass) {
        let count = pass.count, headSize = configuration.headSize, precision = execution.activations
        let heads = configuration.headCount, keyHeads = configuration.keyValueHeadCount
        normalize(pass.hidden, by: layer.norm, into: pass.normalized, count: count)
        layer.input.apply(
            pass.normalized, into: [pass.queries, pass.keys, pass.values], count: count, precision: precision)
        normalizeHeads(of: pass.queries, by: layer.queryNorm, heads: heads, pass)
        normalizeHeads(of: pass.keys, by: layer.keyNorm, heads: keyHeads, pass)
        var shape = coppice_attention_shape()
        shape.heads = heads
        shape.kv_heads = keyHeads
        shape.head_size = headSize
        shape.window = configuration.slidingWindow(forLayer: index) ?? 0
        shape.layer_offset = layer.cacheIndex * pass.layerBytes
        shape.element = pass.element
        shape.scale = 1 / Float(headSize).squareRoot()
        var sinkQueries: UnsafeMutablePointer<Float>?
        if let window = pass.window, shape.window == 0 || window.recent < shape.window {
            shape.window = window.recent
            shape.sinks = window.sinks
            sinkQueries = pass.sinkQueries
        }
        var angles = pass.angles, sinkAngles = pass.sinkAngles
        coppice_rotate_and_store(
            &shape, pass.rows, pass.rowCount, &angles, pass.queries, heads * headSize, &sinkAngles, sinkQueries,
            pass.keys, keyHeads * headSize, pass.values, keyHeads * headSize)
        coppice_attention(
            &shape, pass.rows, pass.rowCount, pass.queries, heads * headSize, sinkQueries, pass.attended,
            heads * headSize, pass.scratch(for: shape))
    }

    private func normalizeHeads(of x: UnsafeMutablePointer<Float>, by norm: Tensor?, heads: Int, _ pass: Pass) {
        guard let norm else { return }
        let headSize = configuration.headSize
        withExtendedLifetime(norm.storage) {
            coppice_decoder_head_norm(
                x, heads * headSize, norm.floatPointer, Float(configuration.normEpsilon), pass.count, heads, headSize)
        }
    }

    private func normalize(
        _ x: UnsafePointer<Float>, by weight: Tensor, into y: UnsafeMutablePointer<Float>, count: Int
    ) {
        let size = configuration.hiddenSize
        withExtendedLifetime(weight.storage) {
            coppice_decoder_rms_norm(
                x, size, weight.floatPointer, Float(configuration.normEpsilon), y, size, count, size)
        }
    }

    private func head(_ pass: Pass, count: Int, _ cache: KeyValueCache) -> Logits {
        let base = cache.workspace.logits.reserve(count * vocabularySize)
        if count > 0 {
            normalize(pass.hidden, by: weights.finalNorm, into: pass.normalized, count: count)
            weights.head.apply(pass.normalized, into: [base], count: count, precision: execution.activations)
        }
        return Logits(count: count, vocabularySize: vocabularySize, base: base, cache: cache)
    }
}

/// The buffers of one forward pass, filled in with its rows, positions and angles.
private struct Pass {
    let count: Int
    let rowCount: Int
    let layerBytes: Int
    let element: coppice_cache_element
    let rows: UnsafeMutablePointer<coppice_attention_row>
    let hidden, normalized, queries, keys, values, attended, gate, up: UnsafeMutablePointer<Float>
    let angles: coppice_rotary_tables
    /// What the cache lets texts see.
    let window: StreamingWindow?
    /// Queries as the attention sinks see them, and their angles, where a row reaches beyond the window.
    let sinkQueries: UnsafeMutablePointer<Float>?
    let sinkAngles: coppice_rotary_tables
    private let workspace: ForwardWorkspace

    init(_ rows: [Row], count: Int, model: LanguageModel, cache: KeyValueCache) throws {
        let configuration = model.configuration, workspace = cache.workspace
        let queryWidth = configuration.headCount * configuration.headSize
        let keyWidth = configuration.keyValueHeadCount * configuration.headSize
        let pairs = configuration.headSize / 2
        self.count = count
        rowCount = rows.count
        layerBytes = cache.layerBytes
        element = cache.element.kernel
        hidden = workspace.hidden.reserve(count * configuration.hiddenSize)
        normalized = workspace.normalized.reserve(count * configuration.hiddenSize)
        queries = workspace.queries.reserve(count * queryWidth)
        keys = workspace.keys.reserve(count * keyWidth)
        values = workspace.values.reserve(count * keyWidth)
        attended = workspace.attended.reserve(count * queryWidth)
        gate = workspace.gate.reserve(count * configuration.intermediateSize)
        up = workspace.up.reserve(count * configuration.intermediateSize)
        window = cache.window
        self.workspace = workspace
        self.rows = workspace.rows.reserve(rows.count)
        var first = 0
        for (index, row) in rows.enumerated() {
            let table = try cache.prepare(row)
            self.rows[index] = coppice_attention_row(
                blocks: UnsafePointer(table), first_token: first, start: row.start, count: row.count)
            first += row.count
        }
        let cosines = workspace.cosines.reserve(count * pairs), sines = workspace.sines.reserve(count * pairs)
        angles = Self.angles(rows, count, model.rotary, cache, .max, cosines, sines)
        guard let window, window.sinks > 0, rows.contains(where: { $0.start + $0.count > window.visible }) else {
            sinkQueries = nil
            sinkAngles = coppice_rotary_tables()
            return
        }
        sinkQueries = workspace.sinkQueries.reserve(count * queryWidth)
        let sinkCosines = workspace.sinkCosines.reserve(count * pairs)
        let sinkSines = workspace.sinkSines.reserve(count * pairs)
        sinkAngles = Self.angles(rows, count, model.rotary, cache, window.visible - 1, sinkCosines, sinkSines)
    }

    /// The tokens' angles, at their positions or at `last` where they are beyond it.
    private static func angles(
        _ rows: [Row], _ count: Int, _ rotary: RotaryTable, _ cache: KeyValueCache, _ last: Int,
        _ cosines: UnsafeMutablePointer<Float>, _ sines: UnsafeMutablePointer<Float>
    ) -> coppice_rotary_tables {
        let positions = cache.workspace.positions.reserve(count), pairs = rotary.frequencies.count
        let isExact = cache.window != nil
        var first = 0
        for row in rows {
            for offset in 0..<row.count { positions[first + offset] = Int32(min(row.start + offset, last)) }
            first += row.count
        }
        rotary.writeAngles(
            of: positions, count: count, length: 0, isExact: isExact, cosines: cosines, sines: sines)
        first = 0
        for row in rows {
            let length = cache.rotaryLength(of: row)
            if rotary.dependsOnLength(length) {
                rotary.writeAngles(
                    of: positions + first, count: row.count, length: length, isExact: isExact,
                    cosines: cosines + first * pairs, sines: sines + first * pairs)
            }
            first += row.count
        }
        return coppice_rotary_tables(
            cosines: cosines, sines: sines, pairs: pairs, interleaved: rotary.isInterleaved ? 1 : 0)
    }

    /// Memory for the partial results of a layer's attention.
    func scratch(for shape: coppice_attention_shape) -> UnsafeMutablePointer<Float>? {
        var shape = shape
        let count = coppice_attention_scratch(&shape, rows, rowCount)
        return count > 0 ? workspace.attentionScratch.reserve(count) : nil
    }

    /// Moves the selected rows (ascending) to the front.
    func keep(_ selection: [Int], of buffer: UnsafeMutablePointer<Float>, width: Int) {
        for (index, source) in selection.enumerated() where index != source {
            (buffer + index * width).update(from: buffer + source * width, count: width)
        }
    }
}
