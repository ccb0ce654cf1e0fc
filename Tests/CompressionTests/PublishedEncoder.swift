import CoppiceCompression
import CoppiceModels
import Foundation

/// A BERT as it is published (Tools/fixtures/make_encoder_models.py), and a text in its words.
enum PublishedEncoder {
    static let path: String = {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return tests.appendingPathComponent("Fixtures/encoders/bert-published").path
    }()

    static var calibration: CalibrationTokens {
        get throws {
            let text = String(repeating: "The quick brown fox didn't jump and the cafés: a fox! ", count: 30)
            let tokenizer = try EncoderCheckpoint.open(path).tokenizer()
            return CalibrationTokens(tokenizer.encode(text, addingSpecialTokens: false), source: "text")
        }
    }
}
