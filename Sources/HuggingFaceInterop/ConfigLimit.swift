/// Upper bounds of configuration fields that no real model comes near, and that keep every product of
/// sizes within 64 bits.
enum ConfigLimit {
  static let layers = 1...4096
  static let width = 1...(1 << 20)
  static let channels = 1...(1 << 22)
  static let vocabulary = 1...(1 << 24)
  static let convolution = 1...256
  static let state = 1...(1 << 16)
  static let expansion = 64.0
}
