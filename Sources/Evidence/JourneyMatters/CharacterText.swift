import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// A text as numbers of its different bytes, the last tenth held out.
struct CharacterText: Sendable {
    var train: TokenStream
    var heldOut: TokenStream
    var vocabularySize: Int

    /// - Throws: `.usage` where no folder of data is named; what reading the text throws.
    init(file: String, folder: String?) throws {
        guard let folder else {
            throw CoppiceError(
                .usage, field: "data", "this experiment needs the folder that holds \(file): --data or COPPICE_DATA")
        }
        let text = try TrainingText.load([file], separator: "<|endoftext|>", folder: folder)
        self.init(text.documents.joined(separator: "\n"))
    }

    init(_ text: String) {
        let bytes = Array(text.utf8)
        var numbers: [UInt8: Int32] = [:]
        for byte in Set(bytes).sorted() { numbers[byte] = Int32(numbers.count) }
        let tokens = bytes.map { numbers[$0] ?? 0 }
        let cut = tokens.count * 9 / 10
        train = TokenStream(tokens: Array(tokens[..<cut]), byteCount: cut)
        heldOut = TokenStream(tokens: Array(tokens[cut...]), byteCount: tokens.count - cut)
        vocabularySize = numbers.count
    }
}
