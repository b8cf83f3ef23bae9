import Foundation

/// Gated linear attention as its definition says, token by token in `Double`.
///
/// The readable truth that `chunkGLAForward` and `chunkGLABackward` are tested against. Arrays are
/// `[B, T, H, K]`, `[B, T, H, V]` and `[B, H, K, V]`, row-major.
public struct RecurrentGLA {
  /// Sequences, tokens, heads, key and value channels a head.
  public var (batch, length, heads, keyDim, valueDim) = (1, 1, 1, 1, 1)

  /// Describes the recurrence; queries are scaled by `keyDim^-0.5`.
  public init(batch: Int, length: Int, heads: Int, keyDim: Int, valueDim: Int) {
    (self.batch, self.length, self.heads) = (batch, length, heads)
    (self.keyDim, self.valueDim) = (keyDim, valueDim)
  }

  /// Inputs, or gradients of them.
  public struct Arrays {
    /// Queries `[B, T, H, K]`.
    public var q: [Double]
    /// Keys `[B, T, H, K]`.
    public var k: [Double]
    /// Values `[B, T, H, V]`.
    public var v: [Double]
    /// Log gates `[B, T, H, K]`.
    public var g: [Double]
    /// Initial state `[B, H, K, V]`.
    public var state: [Double]

    /// Names the arrays.
    public init(q: [Double], k: [Double], v: [Double], g: [Double], state: [Double]) {
      (self.q, self.k, self.v, self.g, self.state) = (q, k, v, g, state)
    }
  }

  private var scale: Double { 1 / Double(keyDim).squareRoot() }

  private func key(_ b: Int, _ t: Int, _ h: Int) -> Int {
    ((b * length + t) * heads + h) * keyDim
  }

  private func value(_ b: Int, _ t: Int, _ h: Int) -> Int {
    ((b * length + t) * heads + h) * valueDim
  }

  /// Outputs `[B, T, H, V]` and final state.
  public func forward(_ x: Arrays) -> (o: [Double], state: [Double]) {
    var o = [Double](repeating: 0, count: batch * length * heads * valueDim)
    let states = allStates(x)
    for b in 0..<batch {
      for t in 0..<length {
        for h in 0..<heads {
          let state = states[t + 1]
          for c in 0..<keyDim {
            let q = scale * x.q[key(b, t, h) + c]
            let row = ((b * heads + h) * keyDim + c) * valueDim
            for j in 0..<valueDim { o[value(b, t, h) + j] += q * state[row + j] }
          }
        }
      }
    }
    return (o, states[length])
  }

  /// The state before the first token and after every token.
  private func allStates(_ x: Arrays) -> [[Double]] {
    var states = [x.state]
    for t in 0..<length {
      var state = states[t]
      for b in 0..<batch {
        for h in 0..<heads {
          for c in 0..<keyDim {
            let decay = exp(x.g[key(b, t, h) + c])
            let k = x.k[key(b, t, h) + c]
            let row = ((b * heads + h) * keyDim + c) * valueDim
            for j in 0..<valueDim {
              state[row + j] = decay * state[row + j] + k * x.v[value(b, t, h) + j]
            }
          }
        }
      }
      states.append(state)
    }
    return states
  }

  /// Gradients of all inputs, from those of the outputs and of the final state.
  ///
  /// The adjoint of the recurrence, gate gradients from the stored states: not the shortcut that the
  /// fast kernel takes.
  public func backward(_ x: Arrays, dout: [Double], dstate: [Double]) -> Arrays {
    let states = allStates(x)
    var d = Arrays(
      q: x.q.map { _ in 0 }, k: x.k.map { _ in 0 }, v: x.v.map { _ in 0 }, g: x.g.map { _ in 0 },
      state: dstate)
    for t in (0..<length).reversed() {
      for b in 0..<batch {
        for h in 0..<heads {
          for c in 0..<keyDim {
            let at = key(b, t, h) + c
            let row = ((b * heads + h) * keyDim + c) * valueDim
            let decay = exp(x.g[at])
            for j in 0..<valueDim {
              let out = dout[value(b, t, h) + j]
              d.q[at] += scale * states[t + 1][row + j] * out
              d.state[row + j] += scale * x.q[at] * out
              let g = d.state[row + j]
              d.k[at] += g * x.v[value(b, t, h) + j]
              d.v[value(b, t, h) + j] += g * x.k[at]
              d.g[at] += g * decay * states[t][row + j]
              d.state[row + j] = g * decay
            }
          }
        }
      }
    }
    return d
  }
}
