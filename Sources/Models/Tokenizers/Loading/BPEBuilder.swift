import CoppiceTensors

/// Makes a ``BPEModel`` of a vocabulary and a list of merges as files give them.
struct BPEBuilder {
    /// The pieces as the file spells them.
    let table: ByteStringTable
    let identifiers: [Int32]
    let isByteLevel: Bool
    let source: String

    /// - Parameters:
    ///   - mergeText: the two pieces of each merge by rank, one after the other.
    ///   - mergeEnds: where each of them ends.
    /// - Throws: ``CoppiceError`` (`badData`) for a merge of or to a piece that is not in the vocabulary.
    func model(
        mergeText: [UInt8], mergeEnds: [Int], unknown: Int32? = nil, byteFallback: Bool = false,
        joinsUnknown: Bool = false, ignoresMerges: Bool = false
    ) throws -> BPEModel {
        let merges = PairTable(minimumCapacity: mergeEnds.count / 2)
        func find(_ range: Range<Int>, _ rank: Int) throws -> Int32 {
            let index = mergeText.withUnsafeBufferPointer { text in
                text.baseAddress.flatMap { table.find($0 + range.lowerBound, range.count) }
            }
            guard let index else {
                let piece = String(decoding: mergeText[range].prefix(60), as: UTF8.self)
                throw CoppiceError(
                    .badData, source: source, field: "merge \(rank + 1)", "the piece \(piece) is not in the vocabulary")
            }
            return identifiers[index]
        }
        var start = 0
        for rank in 0..<mergeEnds.count / 2 {
            let (middle, end) = (mergeEnds[2 * rank], mergeEnds[2 * rank + 1])
            let (left, right) = (try find(start..<middle, rank), try find(middle..<end, rank))
            let merged = try find(start..<end, rank)
            merges.set(PairTable.key(left, right), UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)))
            start = end
        }
        var fallback = BPEModel.Fallback(unknown: unknown, joinsUnknown: joinsUnknown)
        if byteFallback { fallback.bytes = byteTokens() }
        guard isByteLevel else {
            return BPEModel(
                table: table, identifiers: identifiers, merges: merges, symbols: .characters, fallback: fallback,
                ignoresMerges: ignoresMerges)
        }
        let (bytes, numbers) = bytesOfPieces()
        let symbols = (0...255).map { byte in bytes.find([UInt8(byte)]).map { numbers[$0] } ?? -1 }
        return BPEModel(
            table: bytes, identifiers: numbers, merges: merges, symbols: .bytes(symbols), fallback: fallback,
            ignoresMerges: ignoresMerges)
    }

    /// The vocabulary by the bytes that its pieces stand for, without those outside the byte-level alphabet.
    private func bytesOfPieces() -> (ByteStringTable, [Int32]) {
        let bytes = ByteStringTable(minimumCapacity: table.count)
        var numbers: [Int32] = []
        for index in 0..<table.count {
            guard let piece = ByteAlphabet.bytes(of: String(decoding: table[index], as: UTF8.self)) else { continue }
            if bytes.insert(piece).isNew { numbers.append(identifiers[index]) }
        }
        return (bytes, numbers)
    }

    /// The tokens `<0x00>` to `<0xFF>`, if all are there.
    private func byteTokens() -> [Int32]? {
        let found = (0...255).compactMap { byte in
            table.find(Array(Vocabulary.name(of: UInt8(byte)).utf8)).map { identifiers[$0] }
        }
        return found.count == 256 ? found : nil
    }
}
